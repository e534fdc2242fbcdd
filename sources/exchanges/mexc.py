"""MEXC spot: websocket ``public.aggre.deals`` in protobuf, REST api/v3. All public, no key.

Trades have no ids, so ids are derived from their numbers. There is no recording of the stream: frames are
decoded by the published schema, which is unverified.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import ClassVar

import msgspec
from google.protobuf.message import DecodeError

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
from sources.mexc_messages import read_push_data
from sources.rows import CandleRow, TradeRow, candles, instrument, instruments, read_rows, trades, volumes
from sources.synthetic_ids import RecentFrames, SyntheticIds
from sources.wire import UNREADABLE, bad_frame, is_trade, read

_CHANNEL = "spot@public.aggre.deals.v3.api.pb@100ms@"
_LARGEST_FRAME = 256 * 1024
"""In bytes: thousands of trades. Protobuf makes objects of two bytes each."""
_MS_US = 1_000
_BUY, _SELL = 1, 2
_INTERVALS = {Interval.H1: "60m"}
_REPEATED = Skipped("repeated")


class _Text(msgspec.Struct):
    msg: str = ""


class _CandleRow(msgspec.Struct, array_like=True, gc=False):
    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    end_ms: int
    quote_volume: float


class _RestTrade(msgspec.Struct, gc=False, rename="camel"):
    price: float
    qty: float
    time: int
    is_buyer_maker: bool


class _Pair(msgspec.Struct, rename="camel"):
    symbol: str
    base_asset: str
    quote_asset: str
    status: str
    quote_precision: int
    base_asset_precision: int


class _Info(msgspec.Struct):
    symbols: list[_Pair]


class _Ticker(msgspec.Struct, rename="camel", gc=False):
    symbol: str
    quote_volume: float


class _Refusal(msgspec.Struct):
    code: int
    msg: str


# Some numbers arrive as JSON strings: strict=False parses them in the same pass.
_read_text = msgspec.json.Decoder(_Text).decode
_read_candles = msgspec.json.Decoder(list[_CandleRow], strict=False).decode
_read_trades = msgspec.json.Decoder(list[_RestTrade], strict=False).decode
_read_info = msgspec.json.Decoder(_Info, strict=False).decode
_read_refusal = msgspec.json.Decoder(_Refusal).decode
_read_ticker = msgspec.json.Decoder(_Ticker, strict=False).decode
_encode = msgspec.json.encode


class Mexc(Exchange):
    """The spot markets of MEXC."""

    name: ClassVar[str] = "mexc"
    rest_limit: ClassVar[RateLimit] = RateLimit(50, 25)  # a weight of 300 in 10 s, the lower documented limit
    markets_per_socket: ClassVar[int] = 30
    max_silence_s: ClassVar[float] = 12
    keepalive_s: ClassVar[float | None] = 5
    candles_per_request: ClassVar[int] = 500
    trades_per_request: ClassVar[int] = 1_000
    trade_paging: ClassVar[Paging] = Paging.NEWEST
    has_trade_ids: ClassVar[bool] = False
    consecutive_ids: ClassVar[bool] = False
    rotate_every_s: ClassVar[float | None] = 24 * 3_600
    throttled_errors: ClassVar[tuple[str, ...]] = ("429:", "510:")
    passing_errors: ClassVar[tuple[str, ...]] = ("500:", "503:", "700007:")

    def native(self, market: Market) -> str:
        """``BTCUSDT``"""
        return f"{market.symbol.base}{market.symbol.quote}"

    def stream_url(self, root: str) -> str:
        return f"{root}/ws"

    def subscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """``{"method":"SUBSCRIPTION","params":["spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"]}``

        One frame per market, so that a refusal identifies it.
        """
        return [self._frame("SUBSCRIPTION", market) for market in markets]

    def unsubscribe(self, markets: Sequence[Market]) -> list[bytes]:
        return [self._frame("UNSUBSCRIPTION", market) for market in markets]

    def _frame(self, method: str, market: Market) -> bytes:
        return _encode({"method": method, "params": [f"{_CHANNEL}{self.native(market)}"]})

    def keepalive(self) -> bytes | None:
        """Answered by ``{"id":0,"code":0,"msg":"PONG"}``."""
        return b'{"method":"PING"}'

    def decoder(self, markets: Collection[Market]) -> Decoder:
        """Decodes a protobuf frame with the trades of 100 ms, or an answer in JSON.

        ``tradeType`` is the taker's side, 1 buy and 2 sell; ``time`` is in milliseconds. A repeated frame,
        equal down to its send time, is skipped. The order of trades in a frame is not documented (REST has
        the newest first): they are sorted by time.
        """
        market_of = {f"{_CHANNEL}{native}": market for native, market in self.by_native(markets).items()}.get
        ids, recent = SyntheticIds(), RecentFrames()

        def decode(frame: bytes | memoryview) -> Decoded:
            if frame[:1] == b"{":
                return _decode_text(frame)
            if len(frame) > _LARGEST_FRAME:
                raise bad_frame("mexc", f"frame larger than {_LARGEST_FRAME:,} bytes", frame)
            try:
                pushed = read_push_data(bytes(frame))
                deals = [
                    (deal.time * _MS_US, float(deal.price), float(deal.quantity), deal.tradeType)
                    for deal in pushed.publicAggreDeals.deals
                ]
            except (DecodeError, ValueError, UnicodeDecodeError) as error:
                raise bad_frame("mexc", str(error), frame) from error
            if not pushed.channel:
                raise bad_frame("mexc", "frame without a channel", frame)
            for ts_us, price, amount, side in deals:
                if side not in (_BUY, _SELL) or not is_trade(0, ts_us, price, amount):
                    raise bad_frame("mexc", "trade with impossible numbers", frame)
            market = market_of(pushed.channel)
            if not pushed.channel.startswith(_CHANNEL):
                return base.OTHER
            if market is None:
                return base.OTHER_MARKET
            if recent.has(frame):
                return _REPEATED
            native = pushed.channel
            decoded = [
                Trade(
                    market,
                    ids.id_of(native, ts_us, price, amount, side == _BUY),
                    ts_us,
                    price,
                    amount,
                    side == _BUY,
                )
                for ts_us, price, amount, side in sorted(deals, key=itemgetter(0))
            ]
            return decoded or Skipped("empty")

        return decode

    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        return RestRequest(
            "/api/v3/klines",
            {
                "symbol": self.rest_native(market),
                "interval": _INTERVALS.get(interval, str(interval)),
                "startTime": str(window.start_us // _MS_US),
                "endTime": str(window.end_us // _MS_US - 1),
                "limit": str(self.candles_per_request),
            },
        )

    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """Start, open, high, low, close, volume, end, quote volume:
        ``[[1767056100000,"87231.15","87269.54","87231.12","87250.54","17.48934453",1767056400000,
        "1525897.53"]]``
        """
        rows = (
            CandleRow(
                row.start_ms * _MS_US,
                row.open,
                row.high,
                row.low,
                row.close,
                row.volume,
                row.quote_volume,
                None if row.volume else 0,
            )
            for row in read(self.name, f"{market} klines", _read_candles, body)
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
            raise Fatal(self.name, f"serves only its newest {self.trades_per_request:,} trades")
        return RestRequest(
            "/api/v3/trades",
            {"symbol": self.rest_native(market), "limit": str(self.trades_per_request)},
            cost=5,
        )

    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """Newest first, without ids: ``[{"id":null,"price":"87924.49","qty":"0.00722558","quoteQty":
        "635.3","time":1767205820300,"isBuyerMaker":false,"isBestMatch":true,"tradeType":"BID"}]``
        """
        ids, native = SyntheticIds(), self.rest_native(market)
        rows = (
            TradeRow(
                ids.id_of(native, row.time * _MS_US, row.price, row.qty, not row.is_buyer_maker),
                row.time * _MS_US,
                row.price,
                row.qty,
                not row.is_buyer_maker,
            )
            for row in _oldest_first(read(self.name, f"{market} trades", _read_trades, body))
            if _is_storable(row)
        )
        return trades(market, rows, body)

    def instruments_request(self) -> RestRequest:
        return RestRequest("/api/v3/exchangeInfo", cost=10)

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """``{"symbols":[{"symbol":"BTCUSDT","baseAsset":"BTC","quoteAsset":"USDT","status":"1",
        "quotePrecision":2,"baseAssetPrecision":8,"baseSizePrecision":"0.000001"}]}``; status 1 is active.
        ``baseSizePrecision`` is the minimum order size; trades have finer steps.
        """
        return instruments(
            instrument(
                self.name,
                pair.base_asset,
                pair.quote_asset,
                pair.symbol,
                active=pair.status == "1",
                price_step=_step(pair.quote_precision),
                amount_step=_step(pair.base_asset_precision),
            )
            for pair in read(self.name, "exchangeInfo", _read_info, body).symbols
        )

    def volumes_request(self) -> RestRequest:
        """Documented on the page "24hr Ticker Price Change Statistics"."""
        return RestRequest("/api/v3/ticker/24hr", cost=40)

    def decode_volumes(self, body: bytes) -> dict[str, float]:
        """``[{"symbol":"BTCUSDT","lastPrice":"87904","volume":"7670.80936815",
        "quoteVolume":"677764373.43"}]``
        """
        return volumes(self.name, read(self.name, "ticker/24hr", read_rows, body), _volume, body)

    def error_in(self, body: bytes) -> str | None:
        """``{"code":-1121,"msg":"Invalid symbol.","_extend":null}``"""
        try:
            refusal = _read_refusal(body)
        except UNREADABLE:
            return None  # the decoder reports what is wrong
        return f"{refusal.code}: {refusal.msg}"


def _step(decimals: int) -> float | None:
    """The smallest step with ``decimals`` decimals."""
    return float(f"1e-{decimals}") if 0 <= decimals <= 30 else None


def _volume(row: msgspec.Raw) -> tuple[str, float]:
    ticker = _read_ticker(row)
    return ticker.symbol, ticker.quote_volume


def _oldest_first(sent: list[_RestTrade]) -> list[_RestTrade]:
    sent.reverse()
    return sorted(sent, key=lambda row: row.time)


def _is_storable(row: _RestTrade) -> bool:
    """True when the time fits the hash of the id. Raises ValueError otherwise."""
    if abs(row.time) < 2**53:
        return True
    raise ValueError(f"not a time: {row.time}")


def _decode_text(frame: bytes | memoryview) -> Skipped | Rejected:
    """Decode an answer in JSON."""
    try:
        message = _read_text(frame).msg
    except UNREADABLE as error:
        raise bad_frame("mexc", str(error), frame) from error
    if message == "PONG":
        return base.PONG
    if message.startswith("Not Subscribed"):
        _, named, rest = message.partition(_CHANNEL)
        return Rejected(rest.partition("]")[0] or None if named else None, message)
    return base.ACK
