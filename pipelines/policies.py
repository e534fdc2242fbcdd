"""What assets of every group do alike."""

from __future__ import annotations

import dagster as dg

RETRIES = dg.RetryPolicy(max_retries=2, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For Postgres away for a moment. What a provider did not give is no case for it: that is asked for by
the next schedule or sensor, and what others gave is not asked for again."""
