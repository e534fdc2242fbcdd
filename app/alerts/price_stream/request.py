"""What the address of ``/prices`` asks for, and what is wrong with it. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import msgspec

from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, from_datetime, to_datetime

DEFAULT_SYMBOL = "BTC"
DEFAULT_INTERVAL_S = 5
LONGEST_INTERVAL_S = DAY_US // SECOND_US
MOST_CURRENCIES = 20
CLOCKS_APART_US = MINUTE_US
"""A client's clock may be ahead by so much."""

EXAMPLE = "/prices?currency=USD&currency=EUR&since_date=2026-01-15T12:00:00Z"
_FIELDS = ("currency", "since_date", "symbol", "interval", "meta")
_ASSET = re.compile(r"[A-Z0-9]{1,20}")
_UNIX_S = re.compile(r"\d{1,18}(\.\d{1,9})?")
_LOST_PLUS = re.compile(r" (?=\d\d:?\d\d$)")


class PricesRefused(Exception):
    """The stream asked for cannot be given. ``code`` is for programs, ``hint`` says what would be right."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


class PriceRequest(msgspec.Struct, frozen=True):
    """What a stream is to tell."""

    base: str
    currencies: tuple[str, ...]
    """In the order asked for."""
    interval_us: int
    since_us: int | None
    """The first time of the grid to tell of; None: from now on."""
    has_meta: bool


def is_for_prices(path: str) -> bool:
    """Whether an address is that of ``/prices``."""
    return urlsplit(path).path == "/prices"


def read_request(path: str, now_us: int) -> PriceRequest:
    """Read ``/prices?currency=USD&…``. Raises PricesRefused."""
    given = parse_qsl(urlsplit(path).query, keep_blank_values=True)
    fields: dict[str, str] = {}
    currencies: list[str] = []
    for name, value in given:
        if name not in _FIELDS:
            raise PricesRefused(
                "unknown_field", f"unknown field {name[:40]!r}", f"there are {', '.join(_FIELDS)}: {EXAMPLE}"
            )
        if name == "currency":
            currencies.append(_asset(name, value))
        elif name in fields:
            raise PricesRefused("bad_field", f"{name} is there twice", f"once is right: {EXAMPLE}")
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
        raise PricesRefused(
            f"bad_{name}", f"{name} {value[:40]!r} is no asset", f"letters and digits, such as {likely}"
        )
    return asset


def _currencies(asked: list[str]) -> tuple[str, ...]:
    if not asked:
        raise PricesRefused("missing_field", "no currency is asked for", f"one or more: {EXAMPLE}")
    if len(asked) > MOST_CURRENCIES:
        raise PricesRefused(
            "bad_currency",
            f"{len(asked)} currencies are asked for",
            f"at most {MOST_CURRENCIES} in one stream; open another one",
        )
    if twice := [one for one in asked if asked.count(one) > 1]:
        raise PricesRefused("bad_currency", f"currency {twice[0]} is there twice", f"once each: {EXAMPLE}")
    return tuple(asked)


def _interval_s(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and 1 <= int(value[:10]) <= LONGEST_INTERVAL_S):
        raise PricesRefused(
            "bad_interval",
            f"interval {value[:40]!r} is not a number of seconds that can be had",
            f"a whole number of seconds from 1 to {LONGEST_INTERVAL_S}; {DEFAULT_INTERVAL_S} without it",
        )
    return int(value)


def _flag(value: str) -> bool:
    if value not in ("0", "1"):
        raise PricesRefused("bad_meta", f"meta {value[:40]!r} is neither 0 nor 1", "1 for more fields, or 0")
    return value == "1"


def _since_us(value: str, now_us: int) -> int:
    ts_us = _moment_us(value)
    if ts_us is None or ts_us < 0:
        raise PricesRefused(
            "bad_since_date",
            f"since_date {value[:40]!r} is no time",
            "seconds since 1970, like 1705938898, or ISO 8601 in UTC, like 2026-01-15T12:00:00Z",
        )
    if ts_us > now_us + CLOCKS_APART_US:
        raise PricesRefused(
            "bad_since_date",
            f"since_date {value[:40]!r} is in the future: now is {moment(now_us)}",
            "a time that has been, in seconds (not milliseconds) or ISO 8601; without it, what comes is told",
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
    """A time of the grid as it is told: ISO 8601, UTC, whole seconds."""
    return to_datetime(ts_us).strftime("%Y-%m-%dT%H:%M:%SZ")
