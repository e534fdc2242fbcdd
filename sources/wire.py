"""Reading what comes over a wire: checks and times that every source shares. Pure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from coinwatch.errors import RAW_SHOWN, BadMessage

INFINITY = float("inf")
MAX_ID = 2**63 - 1
"""Trade ids are stored as bigint."""
LATEST_US = 4_102_444_800_000_000
"""1 January 2100: a time beyond it is a wrong unit or damage, not a trade."""

Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0, lt=sys.float_info.max)]
"""A price or an amount: positive and finite."""
TradeId: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]

UNREADABLE = (ValueError, TypeError, ArithmeticError, RecursionError, msgspec.MsgspecError)
"""All that reading junk may raise: wrong UTF-8, JSON, shape, depth, number or time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_read_datetime = datetime.fromisoformat

T = TypeVar("T")


def iso_us(text: str) -> int:
    """RFC 3339 time as microseconds; finer digits are cut.

    Raises ValueError, or TypeError where the time has no zone.
    """
    return (_read_datetime(text) - _EPOCH) // _MICROSECOND


def seconds_us(seconds: Decimal) -> int:
    """Unix seconds, as exact as they were sent, in microseconds; finer digits are cut.

    Raises ValueError or ArithmeticError for what is no time.
    """
    if not 0 < seconds < LATEST_US:  # before scaling: a wild exponent makes a giant integer
        raise ValueError(f"not a time: {seconds}")
    return int(seconds.scaleb(6))


def is_trade(trade_id: int, ts_us: int, price: float, amount: float) -> bool:
    """Whether the numbers can be a trade's: positive, finite, and of a size we can store."""
    return (
        0.0 < price < INFINITY
        and 0.0 < amount < INFINITY
        and 0 <= trade_id <= MAX_ID
        and 0 < ts_us < LATEST_US
    )


def bad_frame(source: str, why: str, frame: bytes | memoryview) -> BadMessage:
    """The error for a frame that cannot be read; keeps the frame's start."""
    return BadMessage(source, why, bytes(frame[:RAW_SHOWN]))


def read(source: str, what: str, decode: Callable[[bytes], T], body: bytes) -> T:
    """``decode(body)``. Raises BadMessage, naming ``what``, whatever is wrong with the body."""
    try:
        return decode(body)
    except UNREADABLE as error:
        raise BadMessage(source, f"{what}: {error}", body) from error
