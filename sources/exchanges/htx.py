"""HTX (formerly Huobi) spot: websocket ``market.$symbol.trade.detail``, REST market and v1/common. No key."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from typing import ClassVar, Literal

import msgspec

from coinwatch.errors import BadMessage, Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, Trade
from coinwatch.times import SECOND_US
from coinwatch.windows import Window
from sources.exchanges import base
from sources.exchanges.base import (
    Decoded,
    Decoder,
    Exchange,
    Paging,
    Past,
    RateLimit,
    Rejected,
    Reply,
    RestRequest,
    Skipped,
)
from sources.rows import CandleRow, TradeRow, candles, instrument, instruments, read_rows, trades, volumes
from sources.wire import UNREADABLE, bad_frame, is_trade, read

_GZIP = 31
"""The ``wbits`` by which zlib reads gzip."""
_LARGEST_FRAME = 1 << 20
"""In bytes, decompressed: thousands of trades. A larger frame is corrupt or an attack."""
_SMALLEST_LIMIT = 4_096
_MOST_RATIO = 50
"""How far a frame is decompressed. Trades have a ratio of 10; many small frames may arrive at once."""
_FEW_TRADES = 100

_PERIODS = {
    Interval.M1: "1min",
    Interval.M5: "5min",
    Interval.M15: "15min",
    Interval.H1: "60min",
    Interval.H4: "4hour",
}
"""``1day`` opens at midnight in Singapore, which is not on the UTC grid."""


class _StreamTrade(msgspec.Struct, gc=False, rename="camel"):
    trade_id: int
    ts: int
    amount: float
    price: float
    direction: Literal["buy", "sell"]


class _Tick(msgspec.Struct, gc=False):
    data: list[_StreamTrade]


class _TradeFrame(msgspec.Struct, gc=False):
    ch: str
    tick: _Tick


class _Other(msgspec.Struct, rename="kebab"):
    ping: int | None = None
    ch: str = ""
    id: str | int | None = None
    status: str = ""
    subbed: str = ""
    err_code: str = ""
    err_msg: str = ""


class _Answer(msgspec.Struct, rename="kebab"):
    status: str
    err_code: str = ""
    err_msg: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


class _CandleRow(msgspec.Struct, gc=False):
    id: int
    open: float
    high: float
    low: float
    close: float
    amount: float
    vol: float
    count: int


class _RestTrade(msgspec.Struct, gc=False, rename="kebab"):
    trade_id: int
    ts: int
    amount: float
    price: float
    direction: Literal["buy", "sell"]


class _Order(msgspec.Struct, gc=False):
    """The trades of one taker order."""

    data: list[_RestTrade]


class _Pair(msgspec.Struct, rename="kebab"):
    symbol: str
    base_currency: str
    quote_currency: str
    price_precision: int
    amount_precision: int
    state: str


class _Ticker(msgspec.Struct, gc=False):
    symbol: str
    vol: float


_KINDS = {"depth": base.BOOK, "mbp": base.BOOK, "bbo": base.TICKER, "ticker": base.TICKER}
_KINDS |= {"detail": base.TICKER, "kline": base.CANDLE}

_read_frame = msgspec.json.Decoder(_TradeFrame).decode
_read_other = msgspec.json.Decoder(_Other).decode
_read_answer = msgspec.json.Decoder(_Answer).decode
_read_candles = msgspec.json.Decoder(list[_CandleRow]).decode
_read_trades = msgspec.json.Decoder(list[_Order]).decode
_read_pairs = msgspec.json.Decoder(list[_Pair]).decode
_read_ticker = msgspec.json.Decoder(_Ticker).decode
_encode = msgspec.json.encode


class Htx(Exchange):
    """The spot markets of HTX."""

    name: ClassVar[str] = "htx"
    rest_limit: ClassVar[RateLimit] = RateLimit(10, 10)
    markets_per_socket: ClassVar[int] = 50
    max_silence_s: ClassVar[float] = 12  # a ping every five seconds
    intervals: ClassVar[frozenset[Interval]] = frozenset(_PERIODS)
    candles_per_request: ClassVar[int] = 2_000
    candles_depth: ClassVar[int | None] = 1_999  # besides the open candle
    trades_per_request: ClassVar[int] = 2_000
    trade_paging: ClassVar[Paging] = Paging.NEWEST
    consecutive_ids: ClassVar[bool] = True
    throttled_errors: ClassVar[tuple[str, ...]] = (
        "invalid-parameter: request limit",
        "base-request-exceed-frequency-limit",
    )
    passing_errors: ClassVar[tuple[str, ...]] = ("gateway-internal-error", "system-maintenance")

    def native(self, market: Market) -> str:
        """``btcusdt``"""
        return f"{market.symbol.base}{market.symbol.quote}".lower()

    def stream_url(self, root: str) -> str:
        return f"{root}/ws"

    def subscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """``{"sub":"market.btcusdt.trade.detail","id":"btcusdt"}``

        HTX accepts one topic per frame. Its answer repeats the id, which identifies a refused market.
        """
        return [_encode({"sub": self._channel(market), "id": self.native(market)}) for market in markets]

    def unsubscribe(self, markets: Sequence[Market]) -> list[bytes]:
        return [_encode({"unsub": self._channel(market)}) for market in markets]

    def _channel(self, market: Market) -> str:
        return f"market.{self.native(market)}.trade.detail"

    def decoder(self, markets: Collection[Market]) -> Decoder:
        """Decodes the trades of one taker order from a gzip frame, newest first::

            {"ch":"market.zeneth.trade.detail","ts":1618678006267,"tick":{"id":100373972746,
             "ts":1618678006262,"data":[{"id":100373972746255757500235867,"ts":1618678006262,
             "tradeId":100039973212,"amount":7.2,"price":9.2E-7,"direction":"sell"}]}}

        ``direction`` is the taker's. The ``id`` of 24 or more digits exceeds 64 bits; ``tradeId`` counts the
        market's trades. The first frame after the ack of a subscription holds an earlier order.
        """
        market_of = {self._channel(market): market for market in markets}.get
        awaited: set[str] = set()  # acked channels whose earlier trades have not arrived

        def decode(frame: bytes | memoryview) -> Decoded:
            text = _decompressed(frame)
            trades = []
            try:
                sent = _read_frame(text)
            except UNREADABLE:
                other = _read_any(text)
                if market_of(other.subbed) is not None:
                    awaited.add(other.subbed)
                return _answer_to(other)
            market = market_of(sent.ch)
            for trade in reversed(sent.tick.data):
                ts_us = trade.ts * 1_000
                if not is_trade(trade.trade_id, ts_us, trade.price, trade.amount):
                    raise bad_frame("htx", "trade with impossible numbers", text)
                if market is not None:
                    trades.append(
                        Trade(
                            market,
                            trade.trade_id,
                            ts_us,
                            trade.price,
                            trade.amount,
                            trade.direction == "buy",
                        )
                    )
            if not trades:
                return base.OTHER_MARKET if sent.tick.data else Skipped("empty")
            if sent.ch in awaited:
                awaited.remove(sent.ch)
                return Past(trades)
            return trades

        return decode

    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        """HTX returns the latest candles: the window is ignored."""
        self.check_interval(interval)
        return RestRequest(
            "/market/history/kline",
            {
                "symbol": self.rest_native(market),
                "period": _PERIODS[interval],
                "size": str(self.candles_per_request),
            },
        )

    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """Newest first; ``amount`` is in the base and ``vol`` in the quote asset:
        ``{"status":"ok","data":[{"id":1583497740,"open":9094.5,"close":9094.51,"low":9094.5,
        "high":9094.51,"amount":0.44639786,"vol":4059.76919054,"count":16}]}``
        """
        what = f"{market} kline"
        rows = (
            CandleRow(
                row.id * SECOND_US, row.open, row.high, row.low, row.close, row.amount, row.vol, row.count
            )
            for row in read(self.name, what, _read_candles, self._data(body, what))
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
            raise Fatal(self.name, "serves only the newest trades")
        return self._newest(market, self.trades_per_request)

    def newest_trades_requests(self, market: Market) -> Sequence[RestRequest]:
        return [self._newest(market, size) for size in (_FEW_TRADES, self.trades_per_request)]

    def _newest(self, market: Market, size: int) -> RestRequest:
        return RestRequest("/market/history/trade", {"symbol": self.rest_native(market), "size": str(size)})

    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """Newest first, by taker order: ``{"status":"ok","data":[{"id":105005170342,"ts":1583497692182,
        "data":[{"amount":0.010411,"trade-id":102090736910,"ts":1583497692182,
        "id":10500517034273194594947,"price":9096.05,"direction":"sell"}]}]}``
        """
        what = f"{market} trades"
        sent = [
            trade
            for order in read(self.name, what, _read_trades, self._data(body, what))
            for trade in order.data
        ]
        rows = (
            TradeRow(row.trade_id, row.ts * 1_000, row.price, row.amount, row.direction == "buy")
            for row in sorted(sent, key=_id)
        )
        return trades(market, rows, body)

    def instruments_request(self) -> RestRequest:
        return RestRequest("/v1/common/symbols")

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """``{"status":"ok","data":[{"base-currency":"btc","quote-currency":"usdt","price-precision":2,
        "amount-precision":6,"symbol":"btcusdt","state":"online"}]}``
        """
        return instruments(
            instrument(
                self.name,
                pair.base_currency.upper(),
                pair.quote_currency.upper(),
                pair.symbol,
                active=pair.state == "online",
                price_step=_step(pair.price_precision),
                amount_step=_step(pair.amount_precision),
            )
            for pair in read(self.name, "symbols", _read_pairs, self._data(body, "symbols"))
        )

    def volumes_request(self) -> RestRequest:
        """Documented on the page "Get Latest Tickers for All Pairs"."""
        return RestRequest("/market/tickers")

    def decode_volumes(self, body: bytes) -> dict[str, float]:
        """``{"status":"ok","ts":1629789355531,"data":[{"symbol":"smtusdt","open":0.004659,
        "close":0.004574,"amount":36551302.17544405,"vol":178526.0731285,"count":1709}]}``

        ``vol`` is in the quote asset, ``amount`` in the base asset.
        """
        rows = read(self.name, "tickers", read_rows, self._data(body, "tickers"))
        return volumes(self.name, rows, _volume, body)

    def error_in(self, body: bytes) -> str | None:
        """``{"status":"error","err-code":"invalid-parameter","err-msg":"invalid symbol"}``"""
        try:
            answer = _read_answer(body)
        except UNREADABLE:
            return None  # the decoder reports what is wrong
        return f"{answer.err_code}: {answer.err_msg}" if answer.status == "error" else None

    def _data(self, body: bytes, what: str) -> bytes:
        error = self.error_in(body)
        if error is not None:
            raise BadMessage(self.name, f"{what}: {error}", body)
        return bytes(read(self.name, what, _read_answer, body).data)


def _id(trade: _RestTrade) -> int:
    return trade.trade_id


def _step(decimals: int) -> float | None:
    """The smallest step with ``decimals`` decimals."""
    return float(f"1e-{decimals}") if 0 <= decimals <= 30 else None


def _volume(row: msgspec.Raw) -> tuple[str, float]:
    ticker = _read_ticker(row)
    return ticker.symbol, ticker.vol


def _decompressed(frame: bytes | memoryview) -> bytes:
    """Decompress a gzip frame. Raises BadMessage, also when the result is too large for a real frame."""
    unzip = zlib.decompressobj(_GZIP)
    limit = min(_LARGEST_FRAME, _SMALLEST_LIMIT + _MOST_RATIO * len(frame))
    try:
        text = unzip.decompress(frame, limit)
    except zlib.error as error:
        raise bad_frame("htx", f"not gzip: {error}", frame) from error
    if not unzip.eof:
        what = "truncated" if len(text) < limit else f"larger than {limit:,} bytes"
        raise bad_frame("htx", f"gzip frame {what}", frame)
    return text


def _read_any(text: bytes) -> _Other:
    """Parse any frame that is not a valid trade frame. Raises BadMessage."""
    try:
        other = _read_other(text)
        if other.ch.endswith(".trade.detail"):
            _read_frame(text)  # raises with the reason
    except UNREADABLE as error:
        raise bad_frame("htx", str(error), text) from error
    if other.ping is None and not other.ch and not other.status:
        raise bad_frame("htx", "unknown kind of frame", text)
    return other


def _answer_to(other: _Other) -> Skipped | Rejected | Reply:
    if other.ping is not None:
        return Reply(b'{"pong":%d}' % other.ping)
    if other.status == "error":
        native = other.id if isinstance(other.id, str) and other.id else None
        return Rejected(native, f"{other.err_code}: {other.err_msg}")
    if other.status:
        return base.ACK
    topic = other.ch.split(".")  # such as market.btcusdt.depth.step0
    return _KINDS.get(topic[2], base.OTHER) if len(topic) > 2 else base.OTHER
