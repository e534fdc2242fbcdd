"""Gemini: websocket ``@trade`` streams, REST v1 and v2/candles. All public, no key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import ClassVar, Literal

import msgspec

from coinwatch.errors import Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, Trade
from coinwatch.times import DAY_US
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
from sources.gemini_v2 import v2_decoder
from sources.rows import CandleRow, TradeRow, candles, instrument, instruments, trades
from sources.wire import UNREADABLE, bad_frame, is_trade, read

_TIME_FRAMES = {Interval.M1: "1m", Interval.M5: "5m", Interval.M15: "15m", Interval.H1: "1hr"}
"""Gemini has no 4h candles, and its ``1day`` opens at midnight in New York."""
_QUOTES = (
    *("usd", "gusd", "usdt", "usdc", "rlusd", "dai", "eur", "gbp", "sgd"),
    *("btc", "eth", "ltc", "bch", "sol", "fil"),
)


class _StreamTrade(msgspec.Struct, gc=False):
    E: int
    s: str
    t: int
    p: float
    q: float
    m: bool


class _Error(msgspec.Struct):
    code: int = 0
    msg: str = ""


class _Reply(msgspec.Struct):
    """The fields that distinguish other kinds of frames."""

    id: str | int | None = None
    status: int | None = None
    error: _Error | None = None
    e: str = ""
    t: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    u: int | None = None  # bookTicker, which has no ``e``
    lastUpdateId: int | None = None  # noqa: N815 - partial books, which have no ``e``


class _Refusal(msgspec.Struct):
    result: str = ""
    reason: str = ""
    message: str = ""


class _CandleRow(msgspec.Struct, array_like=True, gc=False):
    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class _Details(msgspec.Struct, gc=False):
    symbol: str
    base_currency: str
    quote_currency: str
    status: str
    tick_size: float | None = None
    quote_increment: float | None = None
    product_type: str = "spot"


class _RestTrade(msgspec.Struct, gc=False):
    tid: int
    timestampms: int
    price: float
    amount: float
    type: Literal["buy", "sell"]


# Prices and sizes arrive as JSON strings: strict=False parses them to floats in the same pass.
_read_frame = msgspec.json.Decoder(_StreamTrade, strict=False).decode
_read_reply = msgspec.json.Decoder(_Reply).decode
_read_refusal = msgspec.json.Decoder(_Refusal).decode
_read_candles = msgspec.json.Decoder(list[_CandleRow]).decode
_read_trades = msgspec.json.Decoder(list[_RestTrade], strict=False).decode
_read_symbols = msgspec.json.Decoder(list[str | _Details]).decode
_encode = msgspec.json.encode

_V2_PATH, _V2_START = "/v2/marketdata", b'{"type":'
"""The path of feed v2, and how its frames begin, whose books are large."""


class Gemini(Exchange):
    """The spot markets of Gemini."""

    name: ClassVar[str] = "gemini"
    rest_limit: ClassVar[RateLimit] = RateLimit(5, 1)
    markets_per_socket: ClassVar[int] = 20
    max_silence_s: ClassVar[float] = 12  # a heartbeat every five seconds
    intervals: ClassVar[frozenset[Interval]] = frozenset(_TIME_FRAMES)
    candles_per_request: ClassVar[int] = 1_343
    candles_depth: ClassVar[int | None] = 1_342  # of 15m, the fewest, besides the open candle
    trades_per_request: ClassVar[int] = 500
    trade_paging: ClassVar[Paging] = Paging.SINCE
    trades_reach_us: ClassVar[int | None] = 7 * DAY_US
    consecutive_ids: ClassVar[bool] = False  # one counter for all events on Gemini

    def native(self, market: Market) -> str:
        """``btcusd``"""
        return f"{market.symbol.base}{market.symbol.quote}".lower()

    def feed(self, root: str) -> Exchange:
        """The archived feed v2, where ``root`` ends with its path; else this one."""
        return GeminiV2() if root.endswith(_V2_PATH) else self

    def stream_url(self, root: str) -> str:
        return root

    def subscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """``{"id":"btcusd","method":"subscribe","params":["btcusd@trade"]}``

        One frame per market, so that an unknown one does not affect the others; its id names the market.
        """
        return [self._frame("subscribe", market) for market in markets]

    def unsubscribe(self, markets: Sequence[Market]) -> list[bytes]:
        return [self._frame("unsubscribe", market) for market in markets]

    def _frame(self, method: str, market: Market) -> bytes:
        native = self.native(market)
        return _encode({"id": native, "method": method, "params": [f"{native}@trade"]})

    def decoder(self, markets: Collection[Market]) -> Decoder:
        """Decodes one trade per frame::

            {"E":1784900000123456789,"s":"btcusd","t":2840141014190422,"p":"65432.10","q":"0.0123","m":true}

        ``E`` is in nanoseconds. ``m``: the buyer is the maker, so the taker sells. Frames of the archived
        feed v2 are decoded too.
        """
        market_of = self.by_native(markets).get
        decode_v2 = v2_decoder(market_of)

        def decode(frame: bytes | memoryview) -> Decoded:
            if bytes(frame[: len(_V2_START)]) == _V2_START:
                return decode_v2(frame)
            try:
                sent = _read_frame(frame)
            except UNREADABLE:
                other = _decode_other(frame)
                return decode_v2(frame) if other is None else other
            ts_us = sent.E // 1_000
            if not is_trade(sent.t, ts_us, sent.p, sent.q):
                raise bad_frame("gemini", "trade with impossible numbers", frame)
            market = market_of(sent.s.lower())
            if market is None:
                return base.OTHER_MARKET
            return [Trade(market, sent.t, ts_us, sent.p, sent.q, not sent.m)]

        return decode

    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        """Gemini returns all candles it has, about a day of 1m: the window is ignored."""
        self.check_interval(interval)
        return RestRequest(f"/v2/candles/{self.rest_native(market)}/{_TIME_FRAMES[interval]}")

    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """Newest first; time, open, high, low, close, volume:
        ``[[1559755800000,7781.6,7820.23,7776.56,7819.39,34.7624802159]]``
        """
        rows = (
            CandleRow(
                row.time * 1_000,
                row.open,
                row.high,
                row.low,
                row.close,
                row.volume,
                trades=None if row.volume else 0,
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
        if from_id is not None or before_id is not None:
            raise Fatal(self.name, "serves trades by time, not by id")
        params = {"limit_trades": str(self.trades_per_request)}
        if since_us is not None:
            params["timestamp"] = str(max(since_us // 1_000 - 1, 0))  # exclusive
        return RestRequest(f"/v1/trades/{self.rest_native(market)}", params)

    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """Newest first; ``type`` is the taker's side: ``[{"timestamp":1565662735,
        "timestampms":1565662735226,"tid":7756154092,"price":"11410.49","amount":"0.03",
        "exchange":"gemini","type":"sell"}]``
        """
        rows = (
            TradeRow(row.tid, row.timestampms * 1_000, row.price, row.amount, row.type == "buy")
            for row in reversed(read(self.name, f"{market} trades", _read_trades, body))
        )
        return trades(market, rows, body)

    def instruments_request(self) -> RestRequest:
        return RestRequest("/v1/symbols")

    def instruments_requests(self) -> Sequence[RestRequest]:
        """With the assets of each market, and without: the first one is not documented."""
        return [RestRequest("/v1/symbols/details/all"), self.instruments_request()]

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """``["btcusd","paxgusd","btcgusd","btcgusdperp"]``, or with details: ``[{"symbol":"BTCUSD",
        "base_currency":"BTC","quote_currency":"USD","tick_size":1E-8,"quote_increment":0.01,
        "status":"open","product_type":"spot"}]``
        """
        listed = read(self.name, "symbols", _read_symbols, body)
        names = [entry for entry in listed if isinstance(entry, str)]
        return instruments(
            [
                *(_named(name, pair) for name, pair in _pairs(names).items()),
                *(_detailed(entry) for entry in listed if isinstance(entry, _Details)),
            ]
        )

    def error_in(self, body: bytes) -> str | None:
        """``{"result":"error","reason":"InvalidSymbol","message":"Received unsupported symbol 'x'"}``"""
        try:
            answer = _read_refusal(body)
        except UNREADABLE:
            return None  # a list, like every successful answer
        return f"{answer.reason}: {answer.message}" if answer.result == "error" else None


class GeminiV2(Gemini):
    """The same markets, by the archived feed v2: a fallback, chosen by the URL of the stream."""

    def _frame(self, method: str, market: Market) -> bytes:
        """``{"type":"subscribe","subscriptions":[{"name":"l2","symbols":["BTCUSD"]}]}``

        Trades are only available with the order book.
        """
        symbols = [self.native(market).upper()]
        return _encode({"type": method, "subscriptions": [{"name": "l2", "symbols": symbols}]})


def _splits(name: str) -> list[tuple[str, str]]:
    """The pairs that ``name`` may stand for; none for perpetuals (``btcgusdperp``)."""
    return [
        (name.removesuffix(quote), quote)
        for quote in _QUOTES
        if name.endswith(quote) and len(name) > len(quote)
    ]


def _pairs(names: Collection[str]) -> dict[str, tuple[str, str]]:
    """The base and quote of each name, in lower case; names of other products are left out.

    Where a name splits in several ways, the base is an asset of other names: ``btcgusd`` is BTC in GUSD,
    because ``btcusd`` splits in one way only; ``paxgusd`` and ``paxggusd`` are both of PAXG, which is the
    one base that both can have.
    """
    splits = {name: pairs for name in names if (pairs := _splits(name))}
    certain = {pairs[0][0] for pairs in splits.values() if len(pairs) == 1}
    possible = Counter(base_asset for pairs in splits.values() for base_asset, _ in pairs)
    return {
        name: max(pairs, key=lambda pair: (pair[0] in certain, possible[pair[0]]))
        for name, pairs in splits.items()
    }


def _named(name: str, pair: tuple[str, str]) -> Instrument | None:
    return instrument(
        "gemini",
        pair[0].upper(),
        pair[1].upper(),
        name,
        active=True,
        price_step=None,
        amount_step=None,
    )


def _detailed(details: _Details) -> Instrument | None:
    if details.product_type != "spot":
        return None
    return instrument(
        "gemini",
        details.base_currency.upper(),
        details.quote_currency.upper(),
        details.symbol.lower(),
        active=details.status != "closed",
        price_step=details.quote_increment,
        amount_step=details.tick_size,
    )


def _decode_other(frame: bytes | memoryview) -> Skipped | Rejected | None:
    """Decode any frame that is not a valid trade; None for one that may be of feed v2."""
    try:
        reply = _read_reply(frame)
        if reply.t is not msgspec.UNSET and not reply.e:
            _read_frame(frame)  # raises with the reason
    except UNREADABLE as error:
        raise bad_frame("gemini", str(error), frame) from error
    if reply.error is not None:
        native = reply.id if isinstance(reply.id, str) and reply.id else None
        return Rejected(native, f"{reply.error.code}: {reply.error.msg}")
    if reply.status is not None:
        return base.ACK
    if reply.e == "depthUpdate" or reply.lastUpdateId is not None:
        return base.BOOK
    if reply.u is not None:
        return base.TICKER
    return base.OTHER if reply.e else None
