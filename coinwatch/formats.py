"""Numbers, ages and times as people read them. Unknown values become a dash. Pure: no I/O."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from math import floor, isfinite, log10

from coinwatch.times import SECOND_US, to_datetime

UNKNOWN = "—"
MINUS = "\N{MINUS SIGN}"

_SIZES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def price_decimals(value: float) -> int:
    """How many decimals a price of this size deserves; the count is steady while the price moves a little."""
    size = abs(value)
    if size >= 100:
        return 2
    if size >= 1:
        return 4
    return max(5, 3 - floor(log10(size))) if size > 0 else 2


def price(value: float | None) -> str:
    """``67,123.45``, ``2.4312``, ``0.00001234``."""
    if value is None or not isfinite(value):
        return UNKNOWN
    return f"{value:,.{price_decimals(value)}f}".replace("-", MINUS)


def price_like(value: float, price: float) -> str:
    """A difference of prices with the decimals of ``price``."""
    return f"{value:,.{price_decimals(price)}f}"


def compact(value: float | None) -> str:
    """An amount in three or four digits and a size: ``1.2 B``, ``345.6 M``, ``12.3``."""
    if value is None or not isfinite(value):
        return UNKNOWN
    for size, name in _SIZES:
        if abs(value) >= 0.99995 * size:
            return f"{value / size:,.1f} {name}".replace("-", MINUS)
    return f"{value:,.{2 if abs(value) < 10 else 1}f}".replace("-", MINUS)


def size(length: float | None) -> str:
    """Bytes: ``1.2 GB``, ``345.6 MB``, ``12 B``."""
    if length is None or not isfinite(length):
        return UNKNOWN
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if length >= 0.99995 * unit:
            return f"{length / unit:,.1f} {name}"
    return f"{length:,.0f} B"


def percent(share: float | None) -> str:
    """A change as a share (0.0123) in percent with its sign: ``+1.23 %``."""
    if share is None or not isfinite(share):
        return UNKNOWN
    rounded = round(share * 100, 2)
    if rounded == 0:
        return "0.00 %"
    return f"{'+' if rounded > 0 else MINUS}{abs(rounded):,.2f} %"


def duration(length_us: int) -> str:
    """A length of time in its largest fitting unit: ``0.4 s``, ``42 s``, ``3 min``, ``2.5 h``, ``4 d``."""
    seconds = max(0.0, length_us / SECOND_US)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 59.5 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 47.5 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.0f} d"


def age(then_us: int | None, now_us: int) -> str:
    """How long ago: ``0.4 s ago``. A clock that runs ahead of ours reads ``0.0 s ago``."""
    return UNKNOWN if then_us is None else f"{duration(now_us - then_us)} ago"


def clock(ts_us: int, zone: tzinfo = UTC) -> str:
    """``12:34:56`` in ``zone``, with ``UTC`` behind it where that is the zone."""
    return f"{to_datetime(ts_us).astimezone(zone):%H:%M:%S}{' UTC' if zone is UTC else ''}"


def moment(when: int | datetime) -> str:
    """``21 Nov 2026, 12:34:56 UTC``, from microseconds or an aware UTC datetime."""
    value = to_datetime(when) if isinstance(when, int) else when
    return f"{value:%-d %b %Y, %H:%M:%S} UTC"


def local(ts_us: int, zone: tzinfo, *, seconds: bool = True) -> str:
    """``21 Nov 2026, 13:34:56`` in ``zone``; with ``UTC`` behind it in UTC."""
    value = to_datetime(ts_us).astimezone(zone)
    words = f"{value:%-d %b %Y, %H:%M:%S}" if seconds else f"{value:%-d %b %Y, %H:%M}"
    return f"{words} UTC" if zone is UTC else words


def basis_points(value: float | None) -> str:
    """A deviation in hundredths of a percent: ``+1.2 bp``."""
    if value is None or not isfinite(value):
        return UNKNOWN
    rounded = round(value, 1)
    return f"{'+' if rounded > 0 else MINUS if rounded < 0 else ''}{abs(rounded):,.1f} bp"


def share(value: float | None) -> str:
    """A part of a whole, 0 to 1: ``12.3 %``."""
    return UNKNOWN if value is None or not isfinite(value) else f"{value * 100:.1f} %"


def names(items: list[str] | tuple[str, ...]) -> str:
    """``binance``, ``binance and kraken``, ``binance, coinbase and kraken``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def signed(value: float, decimals: int = 2) -> str:
    """A number with its sign, such as ``+0.25``; no sign on what rounds to 0."""
    rounded = round(value, decimals)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):,.{decimals}f}"


def integer(value: int) -> str:
    """A whole number: ``12,345``."""
    return f"{value:,}"
