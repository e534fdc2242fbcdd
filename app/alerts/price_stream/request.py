"""Reads the address of ``/prices``. Pure: no I/O."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import msgspec

from app.alerts.access.refusals import RequestRefused
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, from_datetime, to_datetime

DEFAULT_SYMBOL = "BTC"
DEFAULT_INTERVAL_S = 5
LONGEST_INTERVAL_S = DAY_US // SECOND_US
MOST_CURRENCIES = 20
CLOCKS_APART_US = MINUTE_US
"""How far the clock of a client may be ahead."""

EXAMPLE = "/prices?currency=USD&currency=EUR&since_date=2026-01-15T12:00:00Z"
_FIELDS = ("currency", "since_date", "symbol", "interval", "meta")
_ASSET = re.compile(r"[A-Z0-9]{1,20}")
_UNIX_S = re.compile(r"\d{1,18}(\.\d{1,9})?")
_LOST_PLUS = re.compile(r" (?=\d\d:?\d\d$)")


class PriceRequest(msgspec.Struct, frozen=True):
    """A stream of prices that a client asks for."""

    base: str
    currencies: tuple[str, ...]
    """In the order asked for."""
    interval_us: int
    since_us: int | None
    """The first time of the grid to send; None: only new prices."""
    has_meta: bool


def is_for_prices(path: str) -> bool:
    """Whether an address is that of ``/prices``."""
    return path.partition("?")[0] == "/prices"


def read_request(path: str, now_us: int) -> PriceRequest:
    """Read ``/prices?currency=USD&…``. Raises RequestRefused."""
    given = parse_qsl(path.partition("?")[2], keep_blank_values=True)
    fields: dict[str, str] = {}
    currencies: list[str] = []
    for name, value in given:
        if name not in _FIELDS:
            raise RequestRefused(
                "unknown_field",
                f"unknown field {name[:40]!r}",
                f"known fields are {', '.join(_FIELDS)}: {EXAMPLE}",
            )
        if name == "currency":
            currencies.append(_asset(name, value))
        elif name in fields:
            raise RequestRefused("bad_field", f"{name} is given twice", f"give it once: {EXAMPLE}")
        else:
            fields[name] = value
    interval_us = _interval_s(fields.get("interval", str(DEFAULT_INTERVAL_S))) * SECOND_US
    since_us = _since_us(fields["since_date"], now_us) if "since_date" in fields else None
    return PriceRequest(
        base=_asset("symbol", fields.get("symbol", DEFAULT_SYMBOL)),
        currencies=_currencies(currencies),
        interval_us=interval_us,
        since_us=None if since_us is None else -(-since_us // interval_us) * interval_us,
        has_meta=_flag(fields.get("meta", "0")),
    )


def _asset(name: str, value: str) -> str:
    asset = value.strip().upper()
    if not _ASSET.fullmatch(asset):
        likely = "BTC" if name == "symbol" else "USD"
        raise RequestRefused(
            f"bad_{name}", f"{name} {value[:40]!r} is not an asset", f"letters and digits, such as {likely}"
        )
    return asset


def _currencies(asked: list[str]) -> tuple[str, ...]:
    if not asked:
        raise RequestRefused("missing_field", "no currency is given", f"give one or more: {EXAMPLE}")
    if len(asked) > MOST_CURRENCIES:
        raise RequestRefused(
            "bad_currency",
            f"{len(asked)} currencies are given",
            f"at most {MOST_CURRENCIES} in a stream; open another stream",
        )
    if twice := [currency for currency in asked if asked.count(currency) > 1]:
        raise RequestRefused(
            "bad_currency", f"currency {twice[0]} is given twice", f"give each once: {EXAMPLE}"
        )
    return tuple(asked)


def _interval_s(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and 1 <= int(value[:10]) <= LONGEST_INTERVAL_S):
        raise RequestRefused(
            "bad_interval",
            f"interval {value[:40]!r} is not a valid number of seconds",
            f"a whole number of seconds from 1 to {LONGEST_INTERVAL_S}; the default is {DEFAULT_INTERVAL_S}",
        )
    return int(value)


def _flag(value: str) -> bool:
    if value not in ("0", "1"):
        raise RequestRefused("bad_meta", f"meta {value[:40]!r} is neither 0 nor 1", "1 for more fields, or 0")
    return value == "1"


def _since_us(value: str, now_us: int) -> int:
    ts_us = _moment_us(value)
    if ts_us is None or ts_us < 0:
        raise RequestRefused(
            "bad_since_date",
            f"since_date {value[:40]!r} is not a time",
            "seconds since 1970, like 1705938898, or ISO 8601 in UTC, like 2026-01-15T12:00:00Z",
        )
    if ts_us > now_us + CLOCKS_APART_US:
        raise RequestRefused(
            "bad_since_date",
            f"since_date {value[:40]!r} is in the future: now is {moment(now_us)}",
            "a past time, in seconds (not milliseconds) or ISO 8601; without it, only new prices are sent",
        )
    return ts_us


def _moment_us(value: str) -> int | None:
    if _UNIX_S.fullmatch(value):
        whole, _, part = value.partition(".")
        return int(whole) * SECOND_US + int(part[:6].ljust(6, "0"))
    try:
        # In an address that was not encoded, a plus sign reads as a space.
        read = datetime.fromisoformat(_LOST_PLUS.sub("+", value.strip()))
        return from_datetime(read if read.tzinfo else read.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def moment(ts_us: int) -> str:
    """A time of the grid as it is sent: ISO 8601, UTC, whole seconds."""
    return to_datetime(ts_us).strftime("%Y-%m-%dT%H:%M:%SZ")
