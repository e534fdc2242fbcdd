"""Kraken spot: websocket v2 ``trade``, REST 0/public. All public, no key."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from typing import ClassVar, Literal, TypeVar

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
    RateLimit,
    Rejected,
    RestRequest,
    Skipped,
)
from sources.rows import CandleRow, TradeRow, candles, instrument, instruments, trades, volumes
from sources.wire import UNREADABLE, bad_frame, is_trade, iso_us, read, seconds_us

_SYMBOLS_PER_FRAME = 100
_REST_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
"""Assets with an old name in the REST API, but not in streams."""
_FIAT = "AUD|CAD|EUR|GBP|JPY|USD"
_CLASSED = re.compile(
    rf"(?:X(ETC|ETH|LTC|MLN|REP|XBT|XDG|XLM|XMR|XRP|ZEC)|Z({_FIAT})|(USDT)(?=Z))"
    rf"(?:X(XBT|ETH)|Z({_FIAT})|([A-Z0-9]+))"
)
"""Pair keys whose oldest assets carry their class, X for crypto, Z for fiat: ``XXBTZUSD``, ``XXBTUSDQ``."""
_CANONICAL_NAMES = {old: name for name, old in _REST_NAMES.items()}

T = TypeVar("T")


class _StreamTrade(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["buy", "sell"]
    price: float
    qty: float
    trade_id: int
    timestamp: str


class _TradeFrame(msgspec.Struct, gc=False):
    channel: Literal["trade"]
    data: list[_StreamTrade]


class _Other(msgspec.Struct):
    channel: str = ""
    method: str = ""
    error: str = ""
    symbol: str | None = None


class _Answer(msgspec.Struct):
    error: list[str]
    result: dict[str, msgspec.Raw] = {}


class _CandleRow(msgspec.Struct, array_like=True, gc=False):
    time: int
    open: float
    high: float
    low: float
    close: float
    vwap: float
    volume: float
    count: int


class _RestTrade(msgspec.Struct, array_like=True, gc=False):
    price: float
    volume: float
    time: Decimal  # up to nine decimals: a float would lose the microsecond
    side: Literal["b", "s"]
    order_type: str
    misc: str
    trade_id: int


class _Pair(msgspec.Struct):
    altname: str
    pair_decimals: int
    lot_decimals: int
    wsname: str = ""
    status: str = "online"
    tick_size: float | None = None


class _Ticker(msgspec.Struct, gc=False):
    v: tuple[float, float]  # today, and over 24 hours
    p: tuple[float, float]


_KINDS = {
    "heartbeat": base.HEARTBEAT,
    "status": base.STATUS,
    "ticker": base.TICKER,
    "ohlc": base.CANDLE,
    "book": base.BOOK,
    "instrument": Skipped("instrument"),
}

_read_frame = msgspec.json.Decoder(_TradeFrame).decode
_read_other = msgspec.json.Decoder(_Other).decode
_read_answer = msgspec.json.Decoder(_Answer).decode
_read_candles = msgspec.json.Decoder(list[_CandleRow], strict=False).decode
_read_trades = msgspec.json.Decoder(list[_RestTrade], strict=False).decode
_read_pair = msgspec.json.Decoder(_Pair, strict=False).decode
_read_ticker = msgspec.json.Decoder(_Ticker, strict=False).decode
_encode = msgspec.json.encode


class Kraken(Exchange):
    """The spot markets of Kraken."""

    name: ClassVar[str] = "kraken"
    rest_limit: ClassVar[RateLimit] = RateLimit(3, 1)
    markets_per_socket: ClassVar[int] = 200
    max_silence_s: ClassVar[float] = 10  # a heartbeat a second
    candles_per_request: ClassVar[int] = 720
    candles_depth: ClassVar[int | None] = 720
    trades_per_request: ClassVar[int] = 1_000
    trade_paging: ClassVar[Paging] = Paging.SINCE
    consecutive_ids: ClassVar[bool] = True
    throttled_errors: ClassVar[tuple[str, ...]] = ("EAPI:Rate limit", "EGeneral:Too many requests")
    passing_errors: ClassVar[tuple[str, ...]] = ("EService:", "EGeneral:Internal error")

    def native(self, market: Market) -> str:
        """``BTC/USDT``"""
        return f"{market.symbol.base}/{market.symbol.quote}"

    def rest_native(self, market: Market) -> str:
        """``XBTUSDT``"""
        base_asset, quote = market.symbol.base, market.symbol.quote
        return f"{_REST_NAMES.get(base_asset, base_asset)}{_REST_NAMES.get(quote, quote)}"

    def stream_url(self, root: str) -> str:
        return root

    def subscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """``{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"],"snapshot":false}}``

        Kraken answers for each symbol, so an unknown one does not affect the others.
        """
        return self._frames("subscribe", markets, {"snapshot": False})

    def unsubscribe(self, markets: Sequence[Market]) -> list[bytes]:
        return self._frames("unsubscribe", markets, {})

    def _frames(self, method: str, markets: Sequence[Market], extra: dict[str, bool]) -> list[bytes]:
        symbols = [self.native(market) for market in markets]
        return [
            _encode(
                {
                    "method": method,
                    "params": {
                        "channel": "trade",
                        "symbol": symbols[start : start + _SYMBOLS_PER_FRAME],
                        **extra,
                    },
                }
            )
            for start in range(0, len(symbols), _SYMBOLS_PER_FRAME)
        ]

    def decoder(self, markets: Collection[Market]) -> Decoder:
        """Decodes one or more trades per frame; ``side`` is the taker's::

        {"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy",
         "price":105944.20,"qty":0.00027625,"ord_type":"limit","trade_id":10218208,
         "timestamp":"2023-10-06T17:35:55.440295Z"}]}
        """
        market_of = self.by_native(markets).get

        def decode(frame: bytes | memoryview) -> Decoded:
            trades = []
            try:
                sent = _read_frame(frame).data
                for trade in sent:
                    ts_us = iso_us(trade.timestamp)
                    if not is_trade(trade.trade_id, ts_us, trade.price, trade.qty):
                        raise bad_frame("kraken", "trade with impossible numbers", frame)
                    market = market_of(trade.symbol)
                    if market is not None:
                        trades.append(
                            Trade(market, trade.trade_id, ts_us, trade.price, trade.qty, trade.side == "buy")
                        )
            except UNREADABLE:
                return _decode_other(frame)
            return trades or (base.OTHER_MARKET if sent else Skipped("empty"))

        return decode

    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        """Kraken returns candles from ``since`` on, at most the latest 720: the end is ignored."""
        return RestRequest(
            "/0/public/OHLC",
            {
                "pair": self.rest_native(market),
                "interval": str(interval.seconds // 60),
                # One candle early, because the candle that opens at ``since`` may be left out.
                "since": str(window.start_us // SECOND_US - interval.seconds),
            },
        )

    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """Time, open, high, low, close, VWAP, volume, count; rows without a trade have count 0:
        ``{"error":[],"result":{"XBTUSDT":[[1762777200,"106038.1","106044.3","106038.1","106040.1",
        "106039.6","0.08317981",3]],"last":1762820160}}``
        """
        sent = self._rows(body, f"{market} OHLC", _read_candles)
        rows = (
            CandleRow(
                row.time * SECOND_US, row.open, row.high, row.low, row.close, row.volume, trades=row.count
            )
            for row in sent
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
        if from_id is not None:
            raise Fatal(self.name, "serves trades by time, not by id")
        params = {"pair": self.rest_native(market), "count": str(self.trades_per_request)}
        if since_us is not None:
            params["since"] = str(since_us * 1_000 - 1)  # nanoseconds, exclusive
        return RestRequest("/0/public/Trades", params)

    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """Price, volume, time, taker side, type, misc, id:
        ``{"error":[],"result":{"XBTUSDT":[["105433.60000","0.00027625",1762795433.9717445,"b","l",
        "",10218208]],"last":"1762819200000000000"}}``
        """
        sent = self._rows(body, f"{market} Trades", _read_trades)
        rows = (
            TradeRow(row.trade_id, seconds_us(row.time), row.price, row.volume, row.side == "b")
            for row in sent
        )
        return trades(market, rows, body)

    def instruments_request(self) -> RestRequest:
        return RestRequest("/0/public/AssetPairs")

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """``{"error":[],"result":{"XBTUSDT":{"altname":"XBTUSDT","wsname":"XBT/USDT",
        "pair_decimals":1,"lot_decimals":8,"status":"online"}}}``
        """
        entries = self._result(body, "AssetPairs").values()
        return instruments(
            _instrument(read(self.name, "AssetPairs", _read_pair, bytes(entry))) for entry in entries
        )

    def volumes_request(self) -> RestRequest:
        """Documented on the page "Get Ticker Information"; without a pair it returns all."""
        return RestRequest("/0/public/Ticker")

    def decode_volumes(self, body: bytes) -> dict[str, float]:
        """``{"error":[],"result":{"XXBTZUSD":{"c":["105899.4","0.00009443"],
        "v":["0.78648221","163.28908096"],"p":["105960.64756","105904.39279"]}}}``

        ``v`` are volumes in the base asset and ``p`` average prices, of today and of the last 24 hours.
        """
        return volumes(self.name, self._result(body, "Ticker").items(), _volume, body)

    def error_in(self, body: bytes) -> str | None:
        """``{"error":["EQuery:Unknown asset pair"]}``"""
        try:
            errors = _read_answer(body).error
        except UNREADABLE:
            return None  # the decoder reports what is wrong
        return "; ".join(error for error in errors if error.startswith("E")) or None

    def _result(self, body: bytes, what: str) -> dict[str, msgspec.Raw]:
        error = self.error_in(body)
        if error is not None:
            raise BadMessage(self.name, f"{what}: {error}", body)
        return read(self.name, what, _read_answer, body).result

    def _rows(self, body: bytes, what: str, decode: Callable[[bytes], list[T]]) -> list[T]:
        """The rows of the answer's only market, whatever its key (``XXBTZUSD`` for ``XBTUSD``)."""
        result = self._result(body, what)
        keys = result.keys() - {"last"}
        if len(keys) != 1:
            raise BadMessage(self.name, f"{what}: {len(keys)} markets instead of one", body)
        return read(self.name, what, decode, bytes(result[keys.pop()]))


def _instrument(pair: _Pair) -> Instrument | None:
    base_asset, _, quote = pair.wsname.partition("/")
    return instrument(
        "kraken",
        _CANONICAL_NAMES.get(base_asset, base_asset),
        _CANONICAL_NAMES.get(quote, quote),
        pair.altname,
        active=pair.status == "online",
        price_step=pair.tick_size or _step(pair.pair_decimals),
        amount_step=_step(pair.lot_decimals),
    )


def _volume(pair: tuple[str, msgspec.Raw]) -> tuple[str, float]:
    key, row = pair
    ticker = _read_ticker(row)
    classed = _CLASSED.fullmatch(key)
    return "".join(filter(None, classed.groups())) if classed else key, ticker.v[1] * ticker.p[1]


def _step(decimals: int) -> float:
    """The smallest step with ``decimals`` decimals."""
    return float(f"1e-{decimals}")


def _decode_other(frame: bytes | memoryview) -> Skipped | Rejected:
    """Decode any frame that is not a valid trade frame."""
    try:
        other = _read_other(frame)
        if other.channel == "trade":
            for trade in _read_frame(frame).data:  # raises with the reason
                iso_us(trade.timestamp)
    except UNREADABLE as error:
        raise bad_frame("kraken", str(error), frame) from error
    if other.error and other.method in ("subscribe", "") and other.error != "Already subscribed":
        return Rejected(other.symbol, other.error)
    if other.method:
        return base.PONG if other.method == "pong" else base.ACK
    if other.channel:
        return _KINDS.get(other.channel, base.OTHER)
    raise bad_frame("kraken", "unknown kind of frame", frame)
