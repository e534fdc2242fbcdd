"""Prices, durations and moments as people read them. Pure: no I/O."""

from __future__ import annotations

from decimal import Decimal

from coinwatch.times import to_datetime

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


def price_text(price: float | None) -> str:
    """A price with all its digits, thousands separators and no exponent; a dash for None."""
    if price is None:
        return "–"  # noqa: RUF001
    text = f"{Decimal(repr(price)):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration_text(seconds: int) -> str:
    """Exactly ``seconds``, in the largest unit that fits: ``15m``, ``90s``."""
    for unit, length in _UNITS:
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def moment_text(ts_us: int) -> str:
    """A moment as ISO 8601 in UTC, to the microsecond."""
    return to_datetime(ts_us).isoformat(timespec="microseconds").replace("+00:00", "Z")
