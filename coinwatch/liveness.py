"""How long services, streams, markets and averages may be silent and still count as live. Pure: no I/O.

Not here: the timeouts of sockets, which belong to the ingest daemon, and the age at which a trade leaves an
average, which is part of the averaging rules.
"""

from __future__ import annotations

from coinwatch.times import DAY_US, MINUTE_US, SECOND_US

SILENT_S = 10.0
"""Services and streams report every second. One that has not reported for longer is not running."""

RARE_SILENT_S = {"dagster": 300.0}
"""The same limit of services that report less often, by name."""

STANDSTILL_S = 15.0
"""After this long without a report of any daemon every price is called stale, on every page."""

GAP_PATIENCE_S = 30.0
"""A stream gap is usually filled within this time. Until then it is not reported as a problem."""

AVERAGE_STALE_US = 10 * SECOND_US
"""Averages are computed every second. One of this age is not live."""

LEAST_SILENT_US, MOST_SILENT_US = 30 * SECOND_US, 15 * MINUTE_US
SILENT_INTERVALS = 10
"""A market is silent after this many of its mean intervals between trades, within these bounds."""

WHOLE_DAY_US = DAY_US - 30 * MINUTE_US
"""Trades that begin at least this long ago count as those of 24 hours."""


def is_silent(service: str, age_s: float) -> bool:
    """Whether a service that last reported ``age_s`` ago is not running."""
    return age_s > RARE_SILENT_S.get(service, SILENT_S)


def is_average_stale(ts_us: int, now_us: int) -> bool:
    """Whether an average computed at ``ts_us`` is no longer live."""
    return now_us - ts_us >= AVERAGE_STALE_US


def silent_after_us(mean_interval_us: int | None) -> int:
    """After how long without a trade a market is silent, by its mean interval; None: not known."""
    return max(LEAST_SILENT_US, min(SILENT_INTERVALS * (mean_interval_us or 0), MOST_SILENT_US))
