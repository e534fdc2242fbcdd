"""HTX spot: websocket ``market.$symbol.trade.detail`` in gzip frames, REST market and v1/common."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any, ClassVar

import msgspec

from coinwatch.records import Market
from coinwatch.times import SECOND_US
from simulator.exchanges.base import (
    Answer,
    Day,
    Refused,
    Row,
    Session,
    Stream,
    Venue,
    encode,
    rows,
    table,
    whole,
)
from simulator.history import History
from simulator.markets import SimMarket

_PERIODS = {"1min": 1, "5min": 5, "15min": 15, "30min": 30, "60min": 60, "4hour": 240}
"""In minutes. Longer ones open at midnight in Singapore and are not simulated."""
_MOST = 2_000
_PING_EVERY_US = 5 * SECOND_US
_LARGEST_ORDER = 50
"""Trades searched for those of the latest order."""


class Htx(Venue):
    name: ClassVar[str] = "htx"
    binary: ClassVar[bool] = True

    def __init__(self, markets: Mapping[Market, SimMarket], history: History) -> None:
        super().__init__(markets, history)
        self.by_topic = {topic(native): market for native, market in self.markets.items()}

    def native(self, market: SimMarket) -> str:
        """``btcusdt``"""
        return f"{market.market.symbol.base}{market.market.symbol.quote}".lower()

    def session(self, path: str, params: Mapping[str, str], stream: Stream) -> Session | None:
        return _HtxSession(self, stream) if path == "/ws" else None

    def frames(self, channel: str, market: SimMarket, trades: Sequence[Row], now_us: int) -> list[bytes]:
        """One frame per time, as HTX sends one per taker order."""
        return [
            self.trade_frame(market, list(order), now_us)
            for _, order in groupby(trades, lambda row: row.ts_us)
        ]

    def trade_frame(self, market: SimMarket, order: Sequence[Row], now_us: int) -> bytes:
        """The trades of one order, newest first."""
        ts_ms, batch = order[-1].ts_us // 1_000, _batch(order[-1])
        listed = ",".join(
            f'{{"id":{_long_id(batch, trade)},"ts":{ts_ms},"tradeId":{trade.trade_id},'
            f'"amount":{number(trade.amount)},"price":{number(trade.price)},"direction":"{_side(trade)}"}}'
            for trade in reversed(order)
        )
        return packed(
            f'{{"ch":"{topic(self.native(market))}","ts":{now_us // 1_000},'
            f'"tick":{{"id":{batch},"ts":{ts_ms},"data":[{listed}]}}}}'.encode()
        )

    def rest(self, path: str, params: Mapping[str, str], now_us: int) -> Answer:
        ts_ms = now_us // 1_000
        try:
            match path:
                case "/v1/common/timestamp":
                    return Answer(encode({"status": "ok", "data": ts_ms}))
                case "/v1/common/symbols":
                    listed = [_symbol(native, market) for native, market in self.markets.items()]
                    return Answer(encode({"status": "ok", "data": listed}))
                case "/market/tickers":
                    return self._tickers(now_us)
                case "/market/history/kline":
                    return self._kline(params, now_us)
                case "/market/history/trade":
                    return self._trades(params, now_us)
        except _Wrong as wrong:
            error = {"ts": ts_ms, "status": "error", "err-code": "invalid-parameter", "err-msg": str(wrong)}
            raise Refused(Answer(encode(error))) from None
        raise Refused(Answer(b'{"status":404,"error":"Not Found"}', 404))

    def _market(self, params: Mapping[str, str]) -> SimMarket:
        market = self.markets.get(params.get("symbol", ""))
        if market is None:
            raise _Wrong("invalid symbol")
        return market

    def _tickers(self, now_us: int) -> Answer:
        listed = [_ticker(native, self.last_day(sim, now_us)) for native, sim in self.markets.items()]
        return Answer(encode({"data": listed, "status": "ok", "ts": now_us // 1_000}))

    def _kline(self, params: Mapping[str, str], now_us: int) -> Answer:
        """The newest candles, newest first, including the open one."""
        market, each = self._market(params), _PERIODS.get(params.get("period", ""))
        if each is None:
            raise _Wrong("invalid period")
        size = _size(params, 150)
        open_minute = now_us // SECOND_US // 60 // each * each
        candles = self.history.candles(market, each, open_minute - (size - 1) * each, open_minute, now_us)
        listed = [msgspec.Raw(_candle(row)) for row in reversed(table(market, candles))]
        channel = f"market.{self.native(market)}.kline.{params['period']}"
        return Answer(encode({"ch": channel, "status": "ok", "ts": now_us // 1_000, "data": listed}))

    def _trades(self, params: Mapping[str, str], now_us: int) -> Answer:
        """The newest trades by order, newest first."""
        market = self._market(params)
        newest = self.history.last_id(market, now_us)
        trades = rows(self.history.last_trades(market, _size(params, 1), newest))
        orders = [list(order) for _, order in groupby(reversed(trades), lambda row: row.ts_us)]
        listed = [
            {
                "id": _batch(order[0]),
                "ts": order[0].ts_us // 1_000,
                "data": [_rest_trade(row) for row in order],
            }
            for order in orders
        ]
        channel = topic(self.native(market))
        return Answer(encode({"ch": channel, "status": "ok", "ts": now_us // 1_000, "data": listed}))


class _Request(msgspec.Struct):
    sub: str = ""
    unsub: str = ""
    ping: int | None = None
    pong: int | None = None
    id: str | int | None = None


class _HtxSession(Session):
    def __init__(self, venue: Htx, stream: Stream) -> None:
        super().__init__(stream)
        self._venue = venue
        self._topics: set[str] = set()
        self._pinged_us = 0

    def heartbeats(self, now_us: int, *, idle: bool) -> list[bytes]:
        if now_us - self._pinged_us < _PING_EVERY_US:
            return []
        self._pinged_us = now_us
        return [packed(b'{"ping":%d}' % (now_us // 1_000))]

    def receive(self, text: str, now_us: int) -> list[bytes]:
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.DecodeError:
            return [_refusal("invalid json", None, now_us)]
        if request.pong is not None:
            return []
        if request.ping is not None:
            return [packed(b'{"pong":%d}' % request.ping)]
        named = request.sub or request.unsub
        market = self._venue.by_topic.get(named)
        if market is None:
            return [_refusal(f"invalid topic {named}", request.id, now_us)]
        if request.unsub and named not in self._topics:
            return [_refusal(f"unsub with not subbed topic {named}", request.id, now_us)]
        asked = {} if request.id is None else {"id": request.id}
        done = {"subbed" if request.sub else "unsubbed": named}
        ack = packed(encode({**asked, "status": "ok", **done, "ts": now_us // 1_000}))
        if request.unsub:
            self._topics.discard(named)
            self.stream.leave("trade.detail", market)
            return [ack]
        if named in self._topics:
            return [ack]
        self._topics.add(named)
        past = rows(
            self._venue.history.last_trades(market, _LARGEST_ORDER, self.stream.join("trade.detail", market))
        )
        last_order = [row for row in past if row.ts_us == past[-1].ts_us]
        return [ack, self._venue.trade_frame(market, last_order, now_us)] if past else [ack]


class _Wrong(Exception):
    """The exchange's ``err-msg``."""


def topic(native: str) -> str:
    return f"market.{native}.trade.detail"


def packed(text: bytes) -> bytes:
    """``text`` as HTX sends it."""
    return gzip.compress(text, 1, mtime=0)


def number(value: float) -> str:
    """Format like a Java double: ``716.0``, ``9.2E-7``, ``4.0E7``."""
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(float(value))
    sign, digits, _ = Decimal(repr(value)).normalize().as_tuple()
    exponent = Decimal(repr(value)).adjusted()
    rest = "".join(map(str, digits[1:])) or "0"
    return f"{'-' if sign else ''}{digits[0]}.{rest}E{exponent}"


def _size(params: Mapping[str, str], default: int) -> int:
    size = whole(params.get("size", str(default)), 1)
    if size is None or size > _MOST:
        raise _Wrong("invalid size, valid range: [1,2000]")
    return size


def _refusal(reason: str, asked: str | int | None, now_us: int) -> bytes:
    named = {} if asked is None else {"id": asked}
    error = {"status": "error", "ts": now_us // 1_000, **named, "err-code": "bad-request", "err-msg": reason}
    return packed(encode(error))


def _side(trade: Row) -> str:
    return "buy" if trade.taker_buys else "sell"


def _batch(last: Row) -> int:
    """The id of the message that carried an order's trades."""
    return 100_000_000_000 + last.trade_id


def _long_id(batch: int, trade: Row) -> str:
    """27 digits."""
    return f"{batch}{255_757_000_000_000 + trade.trade_id}"


def _rest_trade(trade: Row) -> msgspec.Raw:
    long_id = _long_id(_batch(trade), trade)
    return msgspec.Raw(
        f'{{"id":{long_id},"ts":{trade.ts_us // 1_000},"trade-id":{trade.trade_id},'
        f'"amount":{number(trade.amount)},"price":{number(trade.price)},'
        f'"direction":"{_side(trade)}"}}'.encode()
    )


def _candle(row: Mapping[str, Any]) -> bytes:
    return (
        f'{{"id":{row["minute"] * 60},"open":{number(row["open"])},"close":{number(row["close"])},'
        f'"low":{number(row["low"])},"high":{number(row["high"])},"amount":{number(row["volume"])},'
        f'"vol":{number(row["quote_volume"])},"count":{row["trades"]}}}'
    ).encode()


def _ticker(native: str, day: Day) -> dict[str, Any]:
    return {
        "symbol": native,
        "open": day.open,
        "high": day.high,
        "low": day.low,
        "close": day.last,
        "amount": day.volume,
        "vol": day.quote_volume,
        "count": day.trades,
    }


def _symbol(native: str, market: SimMarket) -> dict[str, Any]:
    symbol = market.market.symbol
    return {
        "base-currency": symbol.base.lower(),
        "quote-currency": symbol.quote.lower(),
        "price-precision": market.price_decimals,
        "amount-precision": market.amount_decimals,
        "symbol-partition": "main",
        "symbol": native,
        "state": "online",
        "value-precision": 8,
        "min-order-amt": market.amount_step,
        "max-order-amt": 1_000_000,
        "min-order-value": 5,
        "limit-order-min-order-amt": market.amount_step,
        "limit-order-max-order-amt": 1_000_000,
        "limit-order-max-buy-amt": 1_000_000,
        "limit-order-max-sell-amt": 1_000_000,
        "sell-market-min-order-amt": market.amount_step,
        "sell-market-max-order-amt": 100_000,
        "buy-market-max-order-value": 1_000_000,
        "api-trading": "enabled",
        "tags": "",
    }
