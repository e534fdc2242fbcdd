"""Template of an exchange module: the spot markets of an invented exchange, "Example".

How to add an exchange:

1. Copy this file to ``sources/exchanges/<name>.py`` and rename the class. Replace each declaration and each
   wire format by those of the exchange's documentation, and cite the page where its name is not obvious.
   Keep a sample frame or body in the docstring of each decoder.
2. Register the class in ``sources/exchanges/__init__.py``, and add the exchange's default URLs to
   ``coinwatch.settings``.
3. Add a simulated exchange in ``simulator/exchanges/<name>.py`` with the same wire format.
4. Test in ``tests/sources/exchanges/test_<name>.py``:

   - every kind of frame decodes as documented: trades with their taker side, acks, refusals, pings;
   - every sample body decodes; impossible numbers and truncated bodies raise BadMessage;
   - times and ids: units, the taker's side, and that trades are returned oldest first;
   - recorded frames (``coinwatch record``) decode without a BadMessage, and trades of the stream and of the
     REST API have the same ids.

   ``tests/sources/exchanges/test_registry.py`` runs the contract, including random and corrupt input, for
   every registered exchange and for this template.

An exchange is a pure description: no sockets, no clock, no state, except inside a decoder. All values that
arrive from the exchange are validated here; an unknown side, status or interval raises BadMessage.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar, Literal

import msgspec

from coinwatch.errors import Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, Trade
from coinwatch.windows import Window
from sources.exchanges import base
from sources.exchanges.base import (
    Decoded,
    Decoder,
    Exchange,
    Paging,
    RateLimit,
    Rejected,
    RestRequest,
    Skipped,
)
from sources.rows import CandleRow, TradeRow, candles, instrument, instruments, read_rows, trades, volumes
from sources.wire import UNREADABLE, bad_frame, is_trade, read

# 1. Wire formats, one struct per message. Names are those of the wire, or renamed by msgspec. Decoders of
#    frames declare only the fields they use: msgspec skips the others, which is fast.

_MS_US = 1_000
_BARS = {Interval.M1: "1m", Interval.M5: "5m", Interval.M15: "15m", Interval.H1: "1h", Interval.D1: "1d"}
"""The intervals it serves, as it spells them; only those that open on the UTC grid."""


class _StreamTrade(msgspec.Struct, gc=False):
    id: int
    price: float
    size: float
    side: Literal["buy", "sell"]
    time_ms: int


class _TradeFrame(msgspec.Struct, gc=False):
    channel: Literal["trades"]
    market: str
    data: list[_StreamTrade]


class _Other(msgspec.Struct):
    """The fields that distinguish all other kinds of frames."""

    channel: str = ""
    event: str = ""
    market: str | None = None
    message: str = ""


class _CandleRow(msgspec.Struct, array_like=True, gc=False):
    time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float


class _Pair(msgspec.Struct):
    name: str
    base: str
    quote: str
    status: Literal["trading", "halted"]
    price_step: float
    size_step: float


class _Ticker(msgspec.Struct, gc=False):
    name: str
    quote_volume: float


class _Refusal(msgspec.Struct):
    error: str


_KINDS = {"ticker": base.TICKER, "book": base.BOOK, "heartbeat": base.HEARTBEAT}

# Decoders are made once. strict=False parses numbers that arrive as JSON strings.
_read_frame = msgspec.json.Decoder(_TradeFrame, strict=False).decode
_read_other = msgspec.json.Decoder(_Other).decode
_read_candles = msgspec.json.Decoder(list[_CandleRow], strict=False).decode
_read_trades = msgspec.json.Decoder(list[_StreamTrade], strict=False).decode
_read_pairs = msgspec.json.Decoder(list[_Pair], strict=False).decode
_read_ticker = msgspec.json.Decoder(_Ticker, strict=False).decode
_read_refusal = msgspec.json.Decoder(_Refusal).decode
_encode = msgspec.json.encode


class Example(Exchange):
    """The spot markets of Example. Class variables come first; ``Exchange`` documents each."""

    name: ClassVar[str] = "example"
    # Example allows 600 requests a minute per address: a full bucket and its refill stay below.
    rest_limit: ClassVar[RateLimit] = RateLimit(capacity=50, per_second=5)
    markets_per_socket: ClassVar[int] = 100
    max_silence_s: ClassVar[float] = 12  # a heartbeat every five seconds
    keepalive_s: ClassVar[float | None] = 20
    intervals: ClassVar[frozenset[Interval]] = frozenset(_BARS)
    candles_per_request: ClassVar[int] = 1_000
    trades_per_request: ClassVar[int] = 500
    trade_paging: ClassVar[Paging] = Paging.FROM_ID
    consecutive_ids: ClassVar[bool] = True
    throttled_errors: ClassVar[tuple[str, ...]] = ("too many requests",)
    passing_errors: ClassVar[tuple[str, ...]] = ("try again later",)

    # 2. Names of markets.

    def native(self, market: Market) -> str:
        """``BTC-USDT``"""
        return str(market.symbol)

    # 3. Streams.

    def stream_url(self, root: str) -> str:
        return f"{root}/ws"

    def subscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """``{"op":"subscribe","channel":"trades","market":"BTC-USDT"}``

        One frame per market, so that an unknown one does not affect the others.
        """
        return [self._frame("subscribe", market) for market in markets]

    def unsubscribe(self, markets: Sequence[Market]) -> list[bytes]:
        return [self._frame("unsubscribe", market) for market in markets]

    def _frame(self, op: str, market: Market) -> bytes:
        return _encode({"op": op, "channel": "trades", "market": self.native(market)})

    def keepalive(self) -> bytes | None:
        """Answered by ``{"event":"pong"}``. Remove it, and ``keepalive_s``, if transport pings suffice."""
        return b'{"op":"ping"}'

    def decoder(self, markets: Collection[Market]) -> Decoder:
        """Decodes one or more trades per frame; ``side`` is the taker's::

            {"channel":"trades","market":"BTC-USDT","data":[{"id":7,"price":"65140.5","size":"0.0027",
             "side":"buy","time_ms":1786310822605}]}

        This is the hot path: one dictionary access and one Trade per trade, and no clock.
        """
        market_of = self.by_native(markets).get

        def decode(frame: bytes | memoryview) -> Decoded:
            try:
                sent = _read_frame(frame)
            except UNREADABLE:
                return _decode_other(frame)
            market = market_of(sent.market)
            decoded = []
            for trade in sent.data:
                ts_us = trade.time_ms * _MS_US
                if not is_trade(trade.id, ts_us, trade.price, trade.size):
                    raise bad_frame("example", "trade with impossible numbers", frame)
                if market is not None:
                    decoded.append(
                        Trade(market, trade.id, ts_us, trade.price, trade.size, trade.side == "buy")
                    )
            return decoded or (base.OTHER_MARKET if sent.data else Skipped("empty"))

        return decode

    # 4. REST: candles, trades, instruments, volumes, errors.

    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        self.check_interval(interval)
        return RestRequest(
            "/v1/candles",
            {
                "market": self.rest_native(market),
                "bar": _BARS[interval],
                "from_ms": str(window.start_us // _MS_US),
                "to_ms": str(window.end_us // _MS_US),  # exclusive; subtract where it is inclusive
                "limit": str(self.candles_per_request),
            },
        )

    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """Time, open, high, low, close, volume, quote volume:
        ``[[1786310820000,"65140","65150","65130","65145","1.5","97710"]]``

        ``candles`` sorts rows and drops duplicates. Rows of intervals without trades have ``trades`` 0.
        """
        rows = (
            CandleRow(
                row.time_ms * _MS_US,
                row.open,
                row.high,
                row.low,
                row.close,
                row.volume,
                row.quote_volume,
                None if row.volume else 0,
            )
            for row in read(self.name, f"{market} candles", _read_candles, body)
        )
        return candles(market, interval, rows, body)

    def trades_request(
        self,
        market: Market,
        *,
        from_id: int | None = None,
        since_us: int | None = None,
        before_id: int | None = None,
    ) -> RestRequest:
        if since_us is not None or before_id is not None:
            raise Fatal(self.name, "serves trades forward by id, not by time or backward")
        params = {"market": self.rest_native(market), "limit": str(self.trades_per_request)}
        if from_id is not None:
            params["from_id"] = str(from_id)
        return RestRequest("/v1/trades", params)

    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """Oldest first; ``side`` is the taker's:
        ``[{"id":7,"price":"65140.5","size":"0.0027","side":"buy","time_ms":1786310822605}]``
        """
        sent = read(self.name, f"{market} trades", _read_trades, body)
        rows = (
            TradeRow(row.id, row.time_ms * _MS_US, row.price, row.size, row.side == "buy") for row in sent
        )
        return trades(market, rows, body)

    def instruments_request(self) -> RestRequest:
        return RestRequest("/v1/markets")

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """``[{"name":"BTC-USDT","base":"BTC","quote":"USDT","status":"trading","price_step":"0.1",
        "size_step":"0.00001"}]``
        """
        return instruments(
            instrument(
                self.name,
                pair.base,
                pair.quote,
                pair.name,
                active=pair.status == "trading",
                price_step=pair.price_step,
                amount_step=pair.size_step,
            )
            for pair in read(self.name, "markets", _read_pairs, body)
        )

    def volumes_request(self) -> RestRequest | None:
        """Optional, like ``decode_volumes``: remove both if no single request returns all volumes."""
        return RestRequest("/v1/tickers")

    def decode_volumes(self, body: bytes) -> dict[str, float]:
        """``[{"name":"BTC-USDT","quote_volume":"889377538.04"}]``"""
        return volumes(self.name, read(self.name, "tickers", read_rows, body), _volume, body)

    def error_in(self, body: bytes) -> str | None:
        """``{"error":"unknown market"}``. Optional: remove it if errors have an HTTP status and no body."""
        try:
            return _read_refusal(body).error
        except UNREADABLE:
            return None  # the decoder reports what is wrong


def _volume(row: msgspec.Raw) -> tuple[str, float]:
    ticker = _read_ticker(row)
    return ticker.name, ticker.quote_volume


def _decode_other(frame: bytes | memoryview) -> Skipped | Rejected:
    """Decode any frame that is not a valid trade frame. Raises BadMessage."""
    try:
        other = _read_other(frame)
        if other.channel == "trades" and not other.event:
            _read_frame(frame)  # raises with the reason
    except UNREADABLE as error:
        raise bad_frame("example", str(error), frame) from error
    if other.event == "error":
        return Rejected(other.market, other.message)
    if other.event == "pong":
        return base.PONG
    if other.event:
        return base.ACK
    return _KINDS.get(other.channel, base.OTHER)
