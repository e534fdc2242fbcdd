"""Health, leases, request budgets, retention and the Dagster database."""
