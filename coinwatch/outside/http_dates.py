"""Parsing of the HTTP headers that carry times: ``Date`` and ``Retry-After``. Pure: no I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT_S = 86_400.0
"""A server that demands a longer pause, or one until a date that is wrong, is retried after a day."""


def http_date(header: str | None) -> datetime | None:
    """Parse a date such as ``Tue, 11 Nov 2025 00:17:04 GMT``; None when it is absent or invalid."""
    try:
        moment = parsedate_to_datetime(header or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Parse a ``Retry-After`` header, which holds seconds or a date, to seconds from ``now``.

    From 0 to LONGEST_WAIT_S; None when the header is absent or invalid.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_WAIT_S)
    until = http_date(text)
    return None if until is None else min(max(0.0, (until - now).total_seconds()), LONGEST_WAIT_S)
