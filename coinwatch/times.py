"""Conversion of times. Inside Coinwatch a time is an integer of microseconds since the epoch (``ts_us``)."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
DAY_US = 86_400 * SECOND_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.date().toordinal()


def now_us() -> int:
    """The time of this machine's clock, in microseconds."""
    return time.time_ns() // 1_000


def to_datetime(ts_us: int) -> datetime:
    """Convert to an aware UTC datetime, without loss."""
    return _EPOCH + timedelta(microseconds=ts_us)


def from_datetime(moment: datetime) -> int:
    """Convert an aware datetime to microseconds, without loss. Raises ValueError when it is naive."""
    if moment.tzinfo is None:
        raise ValueError(f"naive datetime {moment.isoformat()}: give it a time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def utc_day(ts_us: int) -> date:
    """The UTC calendar day of ``ts_us``."""
    return date.fromordinal(_EPOCH_DAY + ts_us // DAY_US)


def day_start_us(day: date) -> int:
    """Midnight UTC at the start of ``day``."""
    return (day.toordinal() - _EPOCH_DAY) * DAY_US
