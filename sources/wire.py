"""Checks and time conversions for decoding frames and bodies, for all sources. Pure: no I/O."""

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
"""The largest trade id, as ids are stored as bigint."""
LATEST_US = 4_102_444_800_000_000
"""1 January 2100: a later time has the wrong unit or is corrupt."""

Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0, lt=sys.float_info.max)]
"""A price or an amount: positive and finite."""
TradeId: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]

UNREADABLE = (ValueError, TypeError, ArithmeticError, RecursionError, msgspec.MsgspecError)
"""Everything that decoding corrupt input can raise: bad UTF-8, JSON, shape, depth, number or time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_read_datetime = datetime.fromisoformat

T = TypeVar("T")


def iso_us(text: str) -> int:
    """Convert an RFC 3339 time to microseconds; finer digits are truncated.

    Raises ValueError, or TypeError when the time has no zone.
    """
    return (_read_datetime(text) - _EPOCH) // _MICROSECOND


def seconds_us(seconds: Decimal) -> int:
    """Convert Unix seconds to microseconds without loss; finer digits are truncated.

    Raises ValueError or ArithmeticError for an invalid time.
    """
    if not 0 < seconds < LATEST_US:  # before scaling, as a huge exponent would make a huge integer
        raise ValueError(f"not a time: {seconds}")
    return int(seconds.scaleb(6))


def is_trade(trade_id: int, ts_us: int, price: float, amount: float) -> bool:
    """Whether the numbers can be those of a trade: positive, finite and storable."""
    return (
        0.0 < price < INFINITY
        and 0.0 < amount < INFINITY
        and 0 <= trade_id <= MAX_ID
        and 0 < ts_us < LATEST_US
    )


def bad_frame(source: str, why: str, frame: bytes | memoryview) -> BadMessage:
    """The error for a frame that cannot be decoded; keeps the start of the frame."""
    return BadMessage(source, why, bytes(frame[:RAW_SHOWN]))


def read(source: str, what: str, decode: Callable[[bytes], T], body: bytes) -> T:
    """Decode a body. Raises BadMessage, with ``what`` in the message, for any decoding error."""
    try:
        return decode(body)
    except UNREADABLE as error:
        raise BadMessage(source, f"{what}: {error}", body) from error
