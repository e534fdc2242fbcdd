"""Frames of Gemini's archived feed, websocket v2 marketdata. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import msgspec

from coinwatch.records import Market, Trade
from sources.exchanges import base
from sources.exchanges.base import Decoded, Decoder, Past, Rejected, Skipped
from sources.wire import UNREADABLE, bad_frame, is_trade

_NAMED = re.compile(r"symbol '([A-Za-z0-9]+)'")
"""The market in a refusal: ``Received unsupported symbol 'btcusdx'``."""


class _StreamTrade(msgspec.Struct, gc=False, tag_field="type", tag="trade"):
    symbol: str
    event_id: int
    timestamp: int
    price: float
    quantity: float
    side: Literal["buy", "sell"]
    tid: int | None = None


class _Book(msgspec.Struct, gc=False, tag_field="type", tag="l2_updates"):
    """An order book frame; its prices, thousands in the first frame, are not decoded."""

    symbol: str
    trades: list[_StreamTrade] = []


class _Other(msgspec.Struct):
    type: str = ""
    result: str = ""
    reason: str = ""
    message: str = ""


# Prices and sizes arrive as JSON strings: strict=False parses them to floats in the same pass.
_read_frame = msgspec.json.Decoder(_StreamTrade | _Book, strict=False).decode
_read_other = msgspec.json.Decoder(_Other).decode


def v2_decoder(market_of: Callable[[str], Market | None]) -> Decoder:
    """Decodes trades, and the last fifty that come with a subscription's first book frame::

        {"type":"trade","symbol":"ANKRUSD","event_id":45465818387,"timestamp":1624493670759,
         "price":"0.07946","quantity":"1020.482111","side":"buy"}
        {"type":"l2_updates","symbol":"ZECLTC","changes":[["buy","0.858","7.023773"]],
         "trades":[{"type":"trade",…}],"auction_events":[]}

    ``side`` is the taker's. ``tid``, where present, is the trade's id in the REST API.
    """

    def decode(frame: bytes | memoryview) -> Decoded:
        try:
            sent = _read_frame(frame)
        except UNREADABLE:
            return _decode_other(frame)
        if isinstance(sent, _Book):
            if not sent.trades:
                return base.BOOK
            past = [trade for row in sent.trades if (trade := to_trade(row, frame)) is not None]
            return Past(past) if past else base.OTHER_MARKET
        trade = to_trade(sent, frame)
        return base.OTHER_MARKET if trade is None else [trade]

    def to_trade(sent: _StreamTrade, frame: bytes | memoryview) -> Trade | None:
        trade_id = sent.event_id if sent.tid is None else sent.tid
        ts_us = sent.timestamp * 1_000
        if not is_trade(trade_id, ts_us, sent.price, sent.quantity):
            raise bad_frame("gemini", "trade with impossible numbers", frame)
        market = market_of(sent.symbol.lower())
        if market is None:
            return None
        return Trade(market, trade_id, ts_us, sent.price, sent.quantity, sent.side == "buy")

    return decode


def _decode_other(frame: bytes | memoryview) -> Skipped | Rejected:
    """Decode any frame that is not a valid trade or book."""
    try:
        other = _read_other(frame)
        if other.type in ("trade", "l2_updates"):
            _read_frame(frame)  # raises with the reason
    except UNREADABLE as error:
        raise bad_frame("gemini", str(error), frame) from error
    if other.result == "error":
        named = _NAMED.search(other.message)
        return Rejected(named and named.group(1).lower(), f"{other.reason}: {other.message}")
    if not other.type:
        raise bad_frame("gemini", "unknown kind of frame", frame)
    if other.type.startswith("candles_"):
        return base.CANDLE
    return base.HEARTBEAT if other.type == "heartbeat" else base.OTHER
