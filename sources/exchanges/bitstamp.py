"""Bitstamp: websocket v2 ``live_trades``, REST api/v2. All public, no key."""

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

_CHANNEL = "live_trades_"


class _StreamTrade(msgspec.Struct, gc=False):
    id: int
    microtimestamp: int
    type: Literal[0, 1]
    price_str: float  # ``price`` is a rounded number
    amount_str: float


class _TradeFrame(msgspec.Struct, gc=False):
    event: Literal["trade"]
    channel: str
    data: _StreamTrade


class _Problem(msgspec.Struct, frozen=True):
    message: str = ""


class _Other(msgspec.Struct):
    event: str
    channel: str = ""


class _ErrorFrame(msgspec.Struct):
    data: _Problem = _Problem()


class _CandleRow(msgspec.Struct, gc=False):
    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class _Ohlc(msgspec.Struct):
    ohlc: list[_CandleRow]


class _Candles(msgspec.Struct):
    data: _Ohlc


class _RestTrade(msgspec.Struct, gc=False):
    tid: int
    date: int
    type: Literal[0, 1]
    price: float
    amount: float


class _Pair(msgspec.Struct):
    name: str
    url_symbol: str
    base_decimals: int
    counter_decimals: int
    trading: str


class _Ticker(msgspec.Struct, gc=False):
    pair: str
    volume: float
    vwap: float


class _Refusal(msgspec.Struct):
    status: Literal["error"]
    reason: str | dict[str, list[str]] = ""
    code: str | None = None


_KINDS = {
    "bts:subscription_succeeded": base.ACK,
    "bts:unsubscription_succeeded": base.ACK,
    "bts:heartbeat": base.PONG,
    "bts:request_reconnect": base.SHUTDOWN,
    "data": base.BOOK,
    **dict.fromkeys(("order_created", "order_changed", "order_deleted"), Skipped("order")),
}

# Some numbers arrive as JSON strings: strict=False parses them in the same pass.
_read_frame = msgspec.json.Decoder(_TradeFrame, strict=False).decode
_read_other = msgspec.json.Decoder(_Other).decode
_read_error = msgspec.json.Decoder(_ErrorFrame).decode
_read_candles = msgspec.json.Decoder(_Candles, strict=False).decode
_read_trades = msgspec.json.Decoder(list[_RestTrade], strict=False).decode
_read_pairs = msgspec.json.Decoder(list[_Pair]).decode
_read_refusal = msgspec.json.Decoder(_Refusal).decode
_read_ticker = msgspec.json.Decoder(_Ticker, strict=False).decode
_encode = msgspec.json.encode


class Bitstamp(Exchange):
    """The spot markets of Bitstamp."""

    name: ClassVar[str] = "bitstamp"
    rest_limit: ClassVar[RateLimit] = RateLimit(50, 15)  # 10,000 requests in ten minutes
    markets_per_socket: ClassVar[int] = 100
    max_silence_s: ClassVar[float] = 12
    keepalive_s: ClassVar[float | None] = 5
    candles_per_request: ClassVar[int] = 1_000
    trades_per_request: ClassVar[int] = 1_000_000  # an answer is limited by time only
    trade_paging: ClassVar[Paging] = Paging.NEWEST
    consecutive_ids: ClassVar[bool] = False  # one counter for all markets
    rest_ts_step_us: ClassVar[int] = SECOND_US

    def native(self, market: Market) -> str:
        """``btcusd``"""
        return f"{market.symbol.base}{market.symbol.quote}".lower()

    def stream_url(self, root: str) -> str:
        return root

    def subscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """``{"event":"bts:subscribe","data":{"channel":"live_trades_btcusd"}}``, one frame per market."""
        return [self._frame("bts:subscribe", market) for market in markets]

    def unsubscribe(self, markets: Sequence[Market]) -> list[bytes]:
        return [self._frame("bts:unsubscribe", market) for market in markets]

    def _frame(self, event: str, market: Market) -> bytes:
        return _encode({"event": event, "data": {"channel": f"{_CHANNEL}{self.native(market)}"}})

    def keepalive(self) -> bytes | None:
        """Answered by ``{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}``."""
        return b'{"event":"bts:heartbeat"}'

    def decoder(self, markets: Collection[Market]) -> Decoder:
        """Decodes one trade per frame; ``type`` is the taker's side, 0 buy and 1 sell::

        {"data":{"id":216000477,"timestamp":"1641343699","amount":0.0792,"amount_str":"0.07920000",
         "price":3805.44,"price_str":"3805.44","type":0,"microtimestamp":"1641343699596000",
         "buy_order_id":1443875737346049,"sell_order_id":1443875731320832},
         "channel":"live_trades_ethusd","event":"trade"}
        """
        market_of = {f"{_CHANNEL}{native}": market for native, market in self.by_native(markets).items()}.get

        def decode(frame: bytes | memoryview) -> Decoded:
            try:
                sent = _read_frame(frame)
            except UNREADABLE:
                return _decode_other(frame)
            trade = sent.data
            if not is_trade(trade.id, trade.microtimestamp, trade.price_str, trade.amount_str):
                raise bad_frame("bitstamp", "trade with impossible numbers", frame)
            market = market_of(sent.channel)
            if market is None:
                return base.OTHER_MARKET
            return [
                Trade(
                    market,
                    trade.id,
                    trade.microtimestamp,
                    trade.price_str,
                    trade.amount_str,
                    trade.type == 0,
                )
            ]

        return decode

    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        return RestRequest(
            f"/api/v2/ohlc/{self.rest_native(market)}/",
            {
                "step": str(interval.seconds),
                "limit": str(self.candles_per_request),
                "start": str(window.start_us // SECOND_US),
                "end": str((window.end_us - interval.us) // SECOND_US),  # inclusive
            },
        )

    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """Intervals without a trade are rows without volume: ``{"data":{"pair":"BTC/USD","ohlc":
        [{"timestamp":"1577776800","open":"7222.32","high":"7222.32","low":"7222.32",
        "close":"7222.32","volume":"0.00762049"}]}}``
        """
        rows = (
            CandleRow(
                row.timestamp * SECOND_US,
                row.open,
                row.high,
                row.low,
                row.close,
                row.volume,
                trades=None if row.volume else 0,
            )
            for row in read(self.name, f"{market} ohlc", _read_candles, body).data.ohlc
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
            raise Fatal(self.name, "serves only the trades of the last minute, hour or day")
        return self._trades_of(market, "hour")

    def newest_trades_requests(self, market: Market) -> Sequence[RestRequest]:
        return [self._trades_of(market, span) for span in ("minute", "hour", "day")]

    def _trades_of(self, market: Market, span: str) -> RestRequest:
        return RestRequest(f"/api/v2/transactions/{self.rest_native(market)}/", {"time": span})

    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """Newest first, in whole seconds: ``[{"amount":"2.00000000","date":"1598850699",
        "price":"62.28","tid":"121711825","type":"0"}]``
        """
        sent = read(self.name, f"{market} transactions", _read_trades, body)
        rows = (
            TradeRow(row.tid, row.date * SECOND_US, row.price, row.amount, row.type == 0)
            for row in sorted(sent, key=_id)
        )
        return trades(market, rows, body)

    def instruments_request(self) -> RestRequest:
        return RestRequest("/api/v2/trading-pairs-info/")

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """``[{"name":"BTC/USD","url_symbol":"btcusd","base_decimals":8,"counter_decimals":2,
        "trading":"Enabled"}]``
        """
        return instruments(
            _instrument(pair) for pair in read(self.name, "trading-pairs-info", _read_pairs, body)
        )

    def volumes_request(self) -> RestRequest:
        """Documented in the section "Tickers", for all currency pairs."""
        return RestRequest("/api/v2/ticker/")

    def decode_volumes(self, body: bytes) -> dict[str, float]:
        """``[{"pair":"BTC/USD","last":"2211.00","vwap":"2189.80","volume":"213.26801100"}]``

        The volume is in the base asset; ``vwap`` is the average price of the same 24 hours.
        """
        return volumes(self.name, read(self.name, "ticker", read_rows, body), _volume, body)

    def error_in(self, body: bytes) -> str | None:
        """``{"status":"error","reason":"Invalid step","code":"API0001"}``"""
        try:
            refusal = _read_refusal(body)
        except UNREADABLE:
            return None  # the decoder reports what is wrong
        return f"{refusal.code or 'error'}: {refusal.reason}"


def _id(trade: _RestTrade) -> int:
    return trade.tid


def _instrument(pair: _Pair) -> Instrument | None:
    base_asset, _, quote = pair.name.partition("/")
    return instrument(
        "bitstamp",
        base_asset,
        quote,
        pair.url_symbol,
        active=pair.trading == "Enabled",
        price_step=float(f"1e-{pair.counter_decimals}"),
        amount_step=float(f"1e-{pair.base_decimals}"),
    )


def _volume(row: msgspec.Raw) -> tuple[str, float]:
    ticker = _read_ticker(row)
    return ticker.pair.replace("/", "").lower(), ticker.volume * ticker.vwap


def _decode_other(frame: bytes | memoryview) -> Skipped | Rejected:
    """Decode any frame that is not a valid trade frame."""
    try:
        other = _read_other(frame)
        if other.event == "trade":
            _read_frame(frame)  # raises with the reason
        if other.event == "bts:error":
            native = other.channel.removeprefix(_CHANNEL) or None
            return Rejected(native, _read_error(frame).data.message)
    except UNREADABLE as error:
        raise bad_frame("bitstamp", str(error), frame) from error
    return _KINDS.get(other.event, base.OTHER)
