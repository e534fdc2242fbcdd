"""Gate.io spot: websocket v4 ``spot.trades``, REST api/v4. All public, no key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar, Literal

import msgspec

from coinwatch.errors import Fatal
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
from sources.rows import CandleRow, TradeRow, candles, instrument, instruments, read_rows, trades, volumes
from sources.wire import UNREADABLE, bad_frame, is_trade, read


class _StreamTrade(msgspec.Struct, gc=False):
    id: int
    create_time_ms: str
    side: Literal["buy", "sell"]
    currency_pair: str
    amount: float
    price: float
    id_market: int | None = None


class _TradeFrame(msgspec.Struct, gc=False):
    channel: Literal["spot.trades"]
    event: Literal["update"]
    result: _StreamTrade


class _Error(msgspec.Struct):
    message: str = ""


class _Other(msgspec.Struct):
    channel: str
    event: str = ""
    payload: list[str] | None = None
    error: _Error | None = None


class _CandleRow(msgspec.Struct, array_like=True, gc=False):
    time: int
    quote_volume: float
    close: float
    high: float
    low: float
    open: float
    volume: float


class _RestTrade(msgspec.Struct, gc=False):
    id: int
    create_time_ms: str
    side: Literal["buy", "sell"]
    amount: float
    price: float
    sequence_id: int | None = None


class _Pair(msgspec.Struct):
    id: str
    base: str
    quote: str
    precision: int
    amount_precision: int
    trade_status: str
    buy_start: int = 0


class _Ticker(msgspec.Struct, gc=False):
    currency_pair: str
    quote_volume: float


class _Refusal(msgspec.Struct):
    label: str
    message: str = ""


_KINDS = {
    "spot.pong": base.PONG,
    "spot.tickers": base.TICKER,
    "spot.candlesticks": base.CANDLE,
    **dict.fromkeys(("spot.order_book", "spot.order_book_update", "spot.book_ticker"), base.BOOK),
}

# Some numbers arrive as JSON strings: strict=False parses them in the same pass.
_read_frame = msgspec.json.Decoder(_TradeFrame, strict=False).decode
_read_other = msgspec.json.Decoder(_Other).decode
_read_candles = msgspec.json.Decoder(list[_CandleRow], strict=False).decode
_read_trades = msgspec.json.Decoder(list[_RestTrade], strict=False).decode
_read_pairs = msgspec.json.Decoder(list[_Pair]).decode
_read_refusal = msgspec.json.Decoder(_Refusal).decode
_read_ticker = msgspec.json.Decoder(_Ticker, strict=False).decode
_encode = msgspec.json.encode


class Gateio(Exchange):
    """The spot markets of Gate.io."""

    name: ClassVar[str] = "gateio"
    # Gate.io allows 200 requests in 10 s per address, for each kind of request.
    rest_limit: ClassVar[RateLimit] = RateLimit(50, 15)
    markets_per_socket: ClassVar[int] = 100
    max_silence_s: ClassVar[float] = 12
    keepalive_s: ClassVar[float | None] = 5
    candles_per_request: ClassVar[int] = 999  # 1,000 are allowed, both ends included
    candles_depth: ClassVar[int | None] = 9_990  # 10,000 are served, by Gate.io's clock
    trades_per_request: ClassVar[int] = 1_000
    trade_paging: ClassVar[Paging] = Paging.BEFORE_ID
    consecutive_ids: ClassVar[bool] = True
    throttled_errors: ClassVar[tuple[str, ...]] = ("TOO_FAST", "TOO_MANY_REQUESTS")
    passing_errors: ClassVar[tuple[str, ...]] = ("TOO_BUSY", "INTERNAL", "SERVER_ERROR")

    def native(self, market: Market) -> str:
        """``BTC_USDT``"""
        return f"{market.symbol.base}_{market.symbol.quote}"

    def stream_url(self, root: str) -> str:
        return f"{root}/ws/v4/"

    def subscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """``{"channel":"spot.trades","event":"subscribe","payload":["BTC_USDT"]}``

        One frame per market, because Gate.io rejects a whole frame for one unknown pair.
        """
        return [self._frame("subscribe", market) for market in markets]

    def unsubscribe(self, markets: Sequence[Market]) -> list[bytes]:
        return [self._frame("unsubscribe", market) for market in markets]

    def _frame(self, event: str, market: Market) -> bytes:
        return _encode({"channel": "spot.trades", "event": event, "payload": [self.native(market)]})

    def keepalive(self) -> bytes | None:
        """Answered by ``{"channel":"spot.pong"}``."""
        return b'{"channel":"spot.ping"}'

    def decoder(self, markets: Collection[Market]) -> Decoder:
        """Decodes one trade per frame; ``side`` is the taker's::

            {"time":1606292218,"time_ms":1606292218231,"channel":"spot.trades","event":"update","result":
             {"id":309143071,"id_market":2390902,"create_time":1606292218,"create_time_ms":
              "1606292218213.4578","side":"sell","currency_pair":"GT_USDT","amount":"16.4700000000",
              "price":"0.4705000000","range":"2390902-2390902"}}

        ``id_market`` counts the trades of the market and is the id in REST answers; added in 2025.
        """
        market_of = self.by_native(markets).get

        def decode(frame: bytes | memoryview) -> Decoded:
            try:
                trade = _read_frame(frame).result
                ts_us = _us(trade.create_time_ms)
            except UNREADABLE:
                return _decode_other(frame)
            trade_id = trade.id if trade.id_market is None else trade.id_market
            if not is_trade(trade_id, ts_us, trade.price, trade.amount):
                raise bad_frame("gateio", "trade with impossible numbers", frame)
            market = market_of(trade.currency_pair)
            if market is None:
                return base.OTHER_MARKET
            return [Trade(market, trade_id, ts_us, trade.price, trade.amount, trade.side == "buy")]

        return decode

    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        return RestRequest(
            "/api/v4/spot/candlesticks",
            {
                "currency_pair": self.rest_native(market),
                "interval": str(interval),
                "from": str(window.start_us // SECOND_US),
                "to": str((window.end_us - interval.us) // SECOND_US),  # inclusive
            },
        )

    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """Time, quote volume, close, high, low, open, volume, closed or not:
        ``[["1769340420","319649.00122670","88645.2","88645.2","88624.5","88624.6","3.60655800","true"]]``
        """
        rows = (
            CandleRow(
                row.time * SECOND_US,
                row.open,
                row.high,
                row.low,
                row.close,
                row.volume,
                row.quote_volume,
                # Gate.io does not publish the number of trades; without volume there was none.
                None if row.volume else 0,
            )
            for row in read(self.name, f"{market} candlesticks", _read_candles, body)
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
        if from_id is not None or since_us is not None:
            raise Fatal(self.name, "serves trades backwards by id, not forward")
        params = {"currency_pair": self.rest_native(market), "limit": str(self.trades_per_request)}
        if before_id is not None:
            params |= {"last_id": str(before_id), "reverse": "true"}
        return RestRequest("/api/v4/spot/trades", params)

    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """Newest first; ``side`` is the taker's: ``[{"id":"161561507","create_time":"1769358456",
        "create_time_ms":"1769358456689.987000","currency_pair":"BTC_USDT","side":"sell",
        "amount":"0.240952","price":"87908.8","sequence_id":"161561507"}]``
        """
        sent = read(self.name, f"{market} trades", _read_trades, body)
        rows = (
            TradeRow(_id(row), _us(row.create_time_ms), row.price, row.amount, row.side == "buy")
            for row in sorted(sent, key=_id)
        )
        return trades(market, rows, body)

    def instruments_request(self) -> RestRequest:
        return RestRequest("/api/v4/spot/currency_pairs")

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """``[{"id":"ONT_ETH","base":"ONT","quote":"ETH","amount_precision":3,"precision":7,
        "trade_status":"tradable","buy_start":0}]``; ``buy_start`` is in seconds, 0 when unknown.
        """
        return instruments(
            instrument(
                self.name,
                pair.base,
                pair.quote,
                pair.id,
                active=pair.trade_status == "tradable",
                price_step=_step(pair.precision),
                amount_step=_step(pair.amount_precision),
                listed_us=pair.buy_start * SECOND_US,
            )
            for pair in read(self.name, "currency_pairs", _read_pairs, body)
        )

    def volumes_request(self) -> RestRequest:
        """Documented on the page "Get currency pair ticker information"."""
        return RestRequest("/api/v4/spot/tickers")

    def decode_volumes(self, body: bytes) -> dict[str, float]:
        """``[{"currency_pair":"BTC_USDT","last":"71315.9","base_volume":"12743.96265195",
        "quote_volume":"889377538.04358603"}]``
        """
        return volumes(self.name, read(self.name, "tickers", read_rows, body), _volume, body)

    def error_in(self, body: bytes) -> str | None:
        """``{"label":"INVALID_PARAM_VALUE","message":"Candlestick range too broad. …"}``"""
        try:
            refusal = _read_refusal(body)
        except UNREADABLE:
            return None  # the decoder reports what is wrong
        return f"{refusal.label}: {refusal.message}"


def _id(trade: _RestTrade) -> int:
    return trade.id if trade.sequence_id is None else trade.sequence_id


def _us(milliseconds: str) -> int:
    """Convert ``1606292218213.4578`` to microseconds; finer digits are truncated. Raises ValueError."""
    whole, _, finer = milliseconds.partition(".")
    return int(whole + f"{finer}000"[:3])


def _step(decimals: int) -> float:
    """The smallest step with ``decimals`` decimals."""
    return float(f"1e-{decimals}")


def _volume(row: msgspec.Raw) -> tuple[str, float]:
    ticker = _read_ticker(row)
    return ticker.currency_pair, ticker.quote_volume


def _decode_other(frame: bytes | memoryview) -> Skipped | Rejected:
    """Decode any frame that is not a valid trade frame."""
    try:
        other = _read_other(frame)
        if other.channel == "spot.trades" and other.event == "update":
            _us(_read_frame(frame).result.create_time_ms)  # raises with the reason
    except UNREADABLE as error:
        raise bad_frame("gateio", str(error), frame) from error
    if other.error is not None and other.event != "unsubscribe":
        native = other.payload[0] if other.payload is not None and len(other.payload) == 1 else None
        return Rejected(native, other.error.message)
    if other.event in ("subscribe", "unsubscribe"):
        return base.ACK
    return _KINDS.get(other.channel, base.OTHER)
