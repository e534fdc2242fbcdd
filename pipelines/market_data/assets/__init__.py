"""Dagster assets of the group ``market_data``."""
