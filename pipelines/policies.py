"""Policies shared by the assets of all groups."""

from __future__ import annotations

import dagster as dg

RETRIES = dg.RetryPolicy(max_retries=2, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""Retries for short outages of Postgres. Failures of providers are not retried by it: the next schedule or
sensor requests what is missing, and only that."""
