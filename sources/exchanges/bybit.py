"""Bybit v5 spot: websocket ``publicTrade``, REST v5/market. All public, no key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar, Literal

import msgspec

from coinwatch.errors import BadMessage, Fatal
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

_TOPIC = "publicTrade."
_MS_US = 1_000
_ALREADY = "error:already subscribed"
"""A failure that needs no action: the topic is streaming."""
_INTERVALS = {
    Interval.M1: "1",
    Interval.M5: "5",
    Interval.M15: "15",
    Interval.H1: "60",
    Interval.H4: "240",
    Interval.D1: "D",
}


class _StreamTrade(msgspec.Struct, gc=False):
    i: int
    T: int
    p: float
    v: float
    S: Literal["Buy", "Sell"]
    s: str


class _TradeFrame(msgspec.Struct, gc=False):
    topic: str
    data: list[_StreamTrade]


class _Other(msgspec.Struct):
    topic: str = ""
    op: str = ""
    success: bool = True
    ret_msg: str = ""


class _CandleRow(msgspec.Struct, array_like=True, gc=False):
    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover: float


class _RestTrade(msgspec.Struct, gc=False, rename="camel"):
    exec_id: int
    price: float
    size: float
    side: Literal["Buy", "Sell"]
    time: int


class _LotSize(msgspec.Struct, rename="camel"):
    base_precision: float


class _PriceFilter(msgspec.Struct, rename="camel"):
    tick_size: float


class _Pair(msgspec.Struct, rename="camel"):
    symbol: str
    base_coin: str
    quote_coin: str
    status: str
    lot_size_filter: _LotSize
    price_filter: _PriceFilter


class _Ticker(msgspec.Struct, gc=False):
    symbol: str
    turnover24h: float


class _Result(msgspec.Struct):
    list: msgspec.Raw


class _Answer(msgspec.Struct, rename="camel"):
    ret_code: int
    ret_msg: str = ""
    result: msgspec.Raw = msgspec.Raw(b"{}")


_KINDS = {
    "tickers": base.TICKER,
    "orderbook": base.BOOK,
    "kline": base.CANDLE,
}

# Numbers arrive as JSON strings: strict=False parses them in the same pass.
_read_frame = msgspec.json.Decoder(_TradeFrame, strict=False).decode
_read_other = msgspec.json.Decoder(_Other).decode
_read_answer = msgspec.json.Decoder(_Answer).decode
_read_result = msgspec.json.Decoder(_Result).decode
_read_candles = msgspec.json.Decoder(list[_CandleRow], strict=False).decode
_read_trades = msgspec.json.Decoder(list[_RestTrade], strict=False).decode
_read_pairs = msgspec.json.Decoder(list[_Pair], strict=False).decode
_read_ticker = msgspec.json.Decoder(_Ticker, strict=False).decode
_encode = msgspec.json.encode


class Bybit(Exchange):
    """The spot markets of Bybit."""

    name: ClassVar[str] = "bybit"
    rest_limit: ClassVar[RateLimit] = RateLimit(100, 60)  # 600 requests in five seconds
    markets_per_socket: ClassVar[int] = 100
    max_silence_s: ClassVar[float] = 12
    keepalive_s: ClassVar[float | None] = 5
    candles_per_request: ClassVar[int] = 1_000
    trades_per_request: ClassVar[int] = 60
    trade_paging: ClassVar[Paging] = Paging.NEWEST
    consecutive_ids: ClassVar[bool] = False
    throttled_errors: ClassVar[tuple[str, ...]] = ("10006:", "10018:")
    passing_errors: ClassVar[tuple[str, ...]] = ("10000:", "10016:")

    def native(self, market: Market) -> str:
        """``BTCUSDT``"""
        return f"{market.symbol.base}{market.symbol.quote}"

    def stream_url(self, root: str) -> str:
        return f"{root}/v5/public/spot"

    def subscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """``{"op":"subscribe","args":["publicTrade.BTCUSDT"]}``

        One frame per market, because Bybit rejects a whole frame for one unknown topic.
        """
        return [self._frame("subscribe", market) for market in markets]

    def unsubscribe(self, markets: Sequence[Market]) -> list[bytes]:
        return [self._frame("unsubscribe", market) for market in markets]

    def _frame(self, op: str, market: Market) -> bytes:
        return _encode({"op": op, "args": [f"{_TOPIC}{self.native(market)}"]})

    def keepalive(self) -> bytes | None:
        """Answered by ``{"success":true,"ret_msg":"pong","op":"ping"}``."""
        return b'{"op":"ping"}'

    def decoder(self, markets: Collection[Market]) -> Decoder:
        """Decodes one or more trades per frame; ``S`` is the taker's side::

        {"topic":"publicTrade.BTCUSDT","ts":1786310822606,"type":"snapshot","data":[
         {"i":"2290000001189048101","T":1786310822605,"p":"65140.5","v":"0.002705","S":"Buy",
          "seq":112488547164,"s":"BTCUSDT","BT":false,"RPI":false}]}
        """
        market_of = self.by_native(markets).get

        def decode(frame: bytes | memoryview) -> Decoded:
            decoded = []
            try:
                sent = _read_frame(frame)
                if not sent.topic.startswith(_TOPIC):
                    return _decode_other(frame)
            except UNREADABLE:
                return _decode_other(frame)
            for trade in sent.data:
                ts_us = trade.T * _MS_US
                if not is_trade(trade.i, ts_us, trade.p, trade.v):
                    raise bad_frame("bybit", "trade with impossible numbers", frame)
                market = market_of(trade.s)
                if market is not None:
                    decoded.append(Trade(market, trade.i, ts_us, trade.p, trade.v, trade.S == "Buy"))
            return decoded or (base.OTHER_MARKET if sent.data else Skipped("empty"))

        return decode

    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        return RestRequest(
            "/v5/market/kline",
            {
                "category": "spot",
                "symbol": self.rest_native(market),
                "interval": _INTERVALS[interval],
                "start": str(window.start_us // _MS_US),
                "end": str(window.end_us // _MS_US - 1),
                "limit": str(self.candles_per_request),
            },
        )

    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """Newest first; time, open, high, low, close, volume, turnover, the latter 0 without a trade:
        ``{"retCode":0,"retMsg":"OK","result":{"symbol":"BTCUSDT","category":"spot","list":
        [["1694649600000","26210","26527.2","26125.8","26268.2","11185.573","293656450.7204"]]}}``
        """
        rows = (
            CandleRow(
                row.start_ms * _MS_US,
                row.open,
                row.high,
                row.low,
                row.close,
                row.volume,
                row.turnover,
                None if row.volume else 0,
            )
            for row in read(self.name, f"{market} kline", _read_candles, self._list(body, f"{market} kline"))
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
        if from_id is not None or since_us is not None or before_id is not None:
            raise Fatal(self.name, f"serves only its newest {self.trades_per_request} trades")
        return RestRequest(
            "/v5/market/recent-trade",
            {
                "category": "spot",
                "symbol": self.rest_native(market),
                "limit": str(self.trades_per_request),
            },
        )

    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """Newest first: ``{"retCode":0,"retMsg":"OK","result":{"category":"spot","list":
        [{"execId":"2290000001189048101","symbol":"BTCUSDT","price":"65140.5","size":"0.002705",
        "side":"Buy","time":"1786310822605","isBlockTrade":false}]}}``
        """
        what = f"{market} recent-trade"
        sent = read(self.name, what, _read_trades, self._list(body, what))
        rows = (
            TradeRow(row.exec_id, row.time * _MS_US, row.price, row.size, row.side == "Buy")
            for row in sorted(sent, key=_order)
        )
        return trades(market, rows, body)

    def instruments_request(self) -> RestRequest:
        return RestRequest("/v5/market/instruments-info", {"category": "spot", "limit": "1000"})

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """``{"result":{"category":"spot","list":[{"symbol":"BTCUSDT","baseCoin":"BTC",
        "quoteCoin":"USDT","status":"Trading","lotSizeFilter":{"basePrecision":"0.000001"},
        "priceFilter":{"tickSize":"0.1"}}]}}``
        """
        pairs = read(self.name, "instruments-info", _read_pairs, self._list(body, "instruments-info"))
        return instruments(
            instrument(
                self.name,
                pair.base_coin,
                pair.quote_coin,
                pair.symbol,
                active=pair.status == "Trading",
                price_step=pair.price_filter.tick_size,
                amount_step=pair.lot_size_filter.base_precision,
            )
            for pair in pairs
        )

    def volumes_request(self) -> RestRequest:
        """Documented on the page "Get Tickers"."""
        return RestRequest("/v5/market/tickers", {"category": "spot"})

    def decode_volumes(self, body: bytes) -> dict[str, float]:
        """``{"result":{"category":"spot","list":[{"symbol":"BTCUSDT","lastPrice":"25741.97",
        "turnover24h":"146073704.01447217","volume24h":"5683.211445"}]}}``
        """
        rows = read(self.name, "tickers", read_rows, self._list(body, "tickers"))
        return volumes(self.name, rows, _volume, body)

    def error_in(self, body: bytes) -> str | None:
        """``{"retCode":10001,"retMsg":"Not supported symbols","result":{}}``, with HTTP status 200."""
        try:
            answer = _read_answer(body)
        except UNREADABLE:
            return None  # the decoder reports what is wrong
        return f"{answer.ret_code}: {answer.ret_msg}" if answer.ret_code else None

    def _list(self, body: bytes, what: str) -> bytes:
        """The rows of an answer."""
        error = self.error_in(body)
        if error is not None:
            raise BadMessage(self.name, f"{what}: {error}", body)
        answer = read(self.name, what, _read_answer, body)
        return bytes(read(self.name, what, _read_result, bytes(answer.result)).list)


def _order(trade: _RestTrade) -> tuple[int, int]:
    return trade.time, trade.exec_id


def _volume(row: msgspec.Raw) -> tuple[str, float]:
    ticker = _read_ticker(row)
    return ticker.symbol, ticker.turnover24h


def _decode_other(frame: bytes | memoryview) -> Skipped | Rejected:
    """Decode any frame that is not a valid trade frame."""
    try:
        other = _read_other(frame)
        if other.topic.startswith(_TOPIC):
            _read_frame(frame)  # raises with the reason
    except UNREADABLE as error:
        raise bad_frame("bybit", str(error), frame) from error
    is_failure = not other.success and not other.ret_msg.startswith(_ALREADY)
    if is_failure and other.op != "unsubscribe":
        _, named, rest = other.ret_msg.partition(_TOPIC)
        return Rejected(rest.strip("[]\"' ") or None if named else None, other.ret_msg)
    if other.op == "ping" or other.ret_msg == "pong":
        return base.PONG
    if other.op:
        return base.ACK
    return _KINDS.get(other.topic.partition(".")[0], base.OTHER)
