"""Binance spot: combined streams of ``aggTrade``, REST v3. All public, no key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, ClassVar

import msgspec

from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, Trade
from coinwatch.windows import Window
from sources.exchanges import base
from sources.exchanges.base import (
    Decoded,
    Decoder,
    Exchange,
    ManyDecoder,
    Paging,
    RateLimit,
    Rejected,
    RestRequest,
    Skipped,
)
from sources.rows import CandleRow, TradeRow, candles, instrument, instruments, read_rows, trades, volumes
from sources.wire import LATEST_US, UNREADABLE, Positive, TradeId, bad_frame, read

_STREAMS_PER_FRAME = 200
"""Keeps frames small, and their number below the 5 messages a second that Binance allows."""
_MICROSECONDS_FROM = 10**14
"""Greater times are microseconds (``timeUnit=MICROSECOND``); in milliseconds this is the year 5138."""


class _AggTrade(msgspec.Struct, gc=False, tag_field="e", tag="aggTrade"):
    """Constraints of the types are checked during parsing, at almost no cost."""

    s: str
    a: TradeId
    p: Positive
    q: Positive
    T: Annotated[int, msgspec.Meta(gt=0)]
    m: bool


class _AggTradeFrame(msgspec.Struct, gc=False):
    data: _AggTrade


class _MillisecondTrade(_AggTrade, gc=False, tag="aggTrade"):
    T: Annotated[int, msgspec.Meta(gt=0, lt=LATEST_US // 1_000)]


class _MillisecondFrame(msgspec.Struct, gc=False):
    data: _MillisecondTrade


class _Error(msgspec.Struct):
    msg: str = ""


class _Other(msgspec.Struct):
    """The fields that distinguish other kinds of frames, wrapped or not."""

    stream: str = ""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    e: str = ""
    u: int | None = None  # bookTicker, which has no ``e``
    lastUpdateId: int | None = None  # noqa: N815 - partial books, which have no ``e``
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: _Error | None = None
    code: int | None = None  # of an error that is not below ``error``
    msg: str = ""


class _Kline(msgspec.Struct, array_like=True, gc=False):
    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    close_time: int
    quote_volume: float
    trades: int


class _RestTrade(msgspec.Struct, gc=False):
    a: int
    p: float
    q: float
    T: int
    m: bool


class _Filter(msgspec.Struct):
    filterType: str  # noqa: N815 - Binance's spelling, here and below
    tickSize: float | None = None  # noqa: N815
    stepSize: float | None = None  # noqa: N815


class _Listed(msgspec.Struct):
    symbol: str
    status: str
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    filters: list[_Filter] = []


class _ExchangeInfo(msgspec.Struct):
    symbols: list[_Listed]


class _Ticker(msgspec.Struct, rename="camel", gc=False):
    symbol: str
    quote_volume: float


_KINDS = {
    "trade": Skipped("trade"),
    "kline": base.CANDLE,
    "depthUpdate": base.BOOK,
    "24hrTicker": base.TICKER,
    "24hrMiniTicker": base.TICKER,
    "1hTicker": base.TICKER,
    "4hTicker": base.TICKER,
    "1dTicker": base.TICKER,
    "avgPrice": base.TICKER,
    "serverShutdown": base.SHUTDOWN,
}

# Prices and amounts arrive as JSON strings: strict=False parses them to floats in the same pass.
_read_frame = msgspec.json.Decoder(_AggTradeFrame, strict=False).decode
_read_frames = msgspec.json.Decoder(list[_MillisecondFrame], strict=False).decode
_read_bare = msgspec.json.Decoder(_AggTrade, strict=False).decode
_read_other = msgspec.json.Decoder(_Other).decode
_read_klines = msgspec.json.Decoder(list[_Kline], strict=False).decode
_read_trades = msgspec.json.Decoder(list[_RestTrade], strict=False).decode
_read_listed = msgspec.json.Decoder(_ExchangeInfo, strict=False).decode
_read_ticker = msgspec.json.Decoder(_Ticker, strict=False).decode
_encode = msgspec.json.encode


class Binance(Exchange):
    """The spot markets of Binance."""

    name: ClassVar[str] = "binance"
    # Binance allows a weight of 6,000 a minute per address.
    rest_limit: ClassVar[RateLimit] = RateLimit(1_000, 100)
    markets_per_socket: ClassVar[int] = 500  # 1,024 streams are allowed
    max_silence_s: ClassVar[float] = 45  # pings come every 20 s
    candles_per_request: ClassVar[int] = 1_000
    trades_per_request: ClassVar[int] = 1_000
    trade_paging: ClassVar[Paging] = Paging.FROM_ID
    consecutive_ids: ClassVar[bool] = True
    rotate_every_s: ClassVar[float | None] = 24 * 3_600

    def native(self, market: Market) -> str:
        """``BTCUSDT``"""
        return f"{market.symbol.base}{market.symbol.quote}"

    def stream_url(self, root: str) -> str:
        return f"{root}/stream"

    def subscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """``{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":1}``"""
        return self._frames("SUBSCRIBE", markets)

    def unsubscribe(self, markets: Sequence[Market]) -> list[bytes]:
        return self._frames("UNSUBSCRIBE", markets)

    def _frames(self, method: str, markets: Sequence[Market]) -> list[bytes]:
        streams = [f"{self.native(market).lower()}@aggTrade" for market in markets]
        return [
            _encode(
                {
                    "method": method,
                    "params": streams[start : start + _STREAMS_PER_FRAME],
                    "id": start // _STREAMS_PER_FRAME + 1,
                }
            )
            for start in range(0, len(streams), _STREAMS_PER_FRAME)
        ]

    def decoder(self, markets: Collection[Market]) -> Decoder:
        """Decodes one trade, wrapped as ``{"stream":"btcusdt@aggTrade","data":…}`` or bare::

            {"e":"aggTrade","E":1617647603484,"s":"BTCUSDT","a":18938405,"p":"0.21448000",
             "q":"2062.90000000","f":23806928,"l":23806928,"T":1617647603483,"m":false,"M":true}

        ``m`` is true when the buyer was the maker, so the taker sold.
        """
        market_of = self.by_native(markets).get

        def decode(frame: bytes | memoryview) -> Decoded:
            try:
                trade = _read_frame(frame).data
            except UNREADABLE:
                other = _decode_other(frame)
                if isinstance(other, Skipped | Rejected):
                    return other
                trade = other
            ts_us = trade.T if trade.T >= _MICROSECONDS_FROM else trade.T * 1_000
            if ts_us >= LATEST_US:
                raise bad_frame("binance", "aggTrade with an impossible time", frame)
            market = market_of(trade.s)
            if market is None:
                return base.OTHER_MARKET
            return [Trade(market, trade.a, ts_us, trade.p, trade.q, not trade.m)]

        return decode

    def many_decoder(self, markets: Collection[Market]) -> ManyDecoder:
        market_of = self.by_native(markets)

        def decode(frames: Sequence[bytes]) -> list[Trade] | None:
            try:
                sent = [frame.data for frame in _read_frames(b"[" + b",".join(frames) + b"]")]
                trades = [
                    Trade(market_of[trade.s], trade.a, trade.T * 1_000, trade.p, trade.q, not trade.m)
                    for trade in sent
                ]
            except (*UNREADABLE, KeyError):
                return None
            return trades if len(trades) == len(frames) else None

        return decode

    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        return RestRequest(
            "/api/v3/klines",
            {
                "symbol": self.rest_native(market),
                "interval": str(interval),
                "startTime": str(window.start_us // 1_000),
                "endTime": str(window.end_us // 1_000 - 1),  # inclusive
                "limit": str(self.candles_per_request),
            },
            cost=2,
        )

    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """``[[1634943780000,"60685.22","60729.84","60670.90","60719.27","21.63272",1634943839999,
        "1313200.01340410",617,"12.28492","745719.41022840","0"]]``
        """
        klines = read(self.name, f"{market} klines", _read_klines, body)
        rows = (
            CandleRow(
                _us(row.open_time),
                row.open,
                row.high,
                row.low,
                row.close,
                row.volume,
                row.quote_volume,
                row.trades,
            )
            for row in klines
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
        params = {"symbol": self.rest_native(market), "limit": str(self.trades_per_request)}
        if from_id is not None:
            params["fromId"] = str(from_id)
        elif since_us is not None:
            params["startTime"] = str(since_us // 1_000)
        return RestRequest("/api/v3/aggTrades", params, cost=4)

    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """``[{"a":966492862,"p":"60759.60","q":"0.00841","f":1,"l":1,"T":1634944096633,"m":false,"M":true}]``"""
        sent = read(self.name, f"{market} aggTrades", _read_trades, body)
        return trades(market, (TradeRow(row.a, _us(row.T), row.p, row.q, not row.m) for row in sent), body)

    def instruments_request(self) -> RestRequest:
        return RestRequest("/api/v3/exchangeInfo", cost=20)

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """``{"symbols":[{"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH","quoteAsset":"BTC",
        "filters":[{"filterType":"PRICE_FILTER","tickSize":"0.00000100"},
        {"filterType":"LOT_SIZE","stepSize":"0.00100000"}]}]}``
        """
        listed = read(self.name, "exchangeInfo", _read_listed, body).symbols
        return instruments(_instrument(entry) for entry in listed)

    def volumes_request(self) -> RestRequest:
        """Documented on the page "24hr Ticker Price Change Statistics"; this is its short form."""
        return RestRequest("/api/v3/ticker/24hr", {"type": "MINI"}, cost=80)

    def decode_volumes(self, body: bytes) -> dict[str, float]:
        """``[{"symbol":"BNBBTC","lastPrice":"4.00000200","volume":"8913.3","quoteVolume":"15.3"}]``"""
        return volumes(self.name, read(self.name, "ticker/24hr", read_rows, body), _volume, body)


def _instrument(listed: _Listed) -> Instrument | None:
    filters = {entry.filterType: entry for entry in listed.filters}
    price_filter, lot_size = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    return instrument(
        "binance",
        listed.baseAsset,
        listed.quoteAsset,
        listed.symbol,
        active=listed.status == "TRADING",
        price_step=price_filter.tickSize if price_filter else None,
        amount_step=lot_size.stepSize if lot_size else None,
    )


def _volume(row: msgspec.Raw) -> tuple[str, float]:
    ticker = _read_ticker(row)
    return ticker.symbol, ticker.quote_volume


def _us(time: int) -> int:
    """Convert a time of Binance, in milliseconds or microseconds, to microseconds."""
    return time if time >= _MICROSECONDS_FROM else time * 1_000


def _decode_other(frame: bytes | memoryview) -> _AggTrade | Skipped | Rejected:
    """Decode any frame that is not a valid wrapped aggTrade."""
    try:
        event = outer = _read_other(frame)
        if outer.data is not msgspec.UNSET:
            event = _read_other(outer.data)
        if event.e == "aggTrade":
            return _read_bare(frame if outer.data is msgspec.UNSET else outer.data)
    except UNREADABLE as error:
        raise bad_frame("binance", str(error), frame) from error
    if event.error is not None:
        return Rejected(None, event.error.msg)
    if event.code is not None:
        return Rejected(None, event.msg)
    if event.result is not msgspec.UNSET:
        return base.ACK
    if event.e:
        return _KINDS.get(event.e, base.OTHER)
    if event.u is not None or event.lastUpdateId is not None:
        return base.BOOK
    raise bad_frame("binance", "unknown kind of frame", frame)
