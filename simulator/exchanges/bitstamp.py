"""Bitstamp: websocket v2 ``live_trades``, REST api/v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from coinwatch.times import DAY_US, MINUTE_US, SECOND_US
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
from simulator.markets import SimMarket

_CHANNEL = "live_trades_"
_SPANS_US = {"minute": MINUTE_US, "hour": 60 * MINUTE_US, "day": DAY_US}
_STEPS_S = (60, 180, 300, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 259_200)
_MOST_CANDLES = 1_000


class Bitstamp(Venue):
    name: ClassVar[str] = "bitstamp"

    def native(self, market: SimMarket) -> str:
        """``btcusd``"""
        return f"{market.market.symbol.base}{market.market.symbol.quote}".lower()

    def session(self, path: str, params: Mapping[str, str], stream: Stream) -> Session | None:
        return _BitstampSession(self, stream) if path in ("", "/") else None

    def frames(self, channel: str, market: SimMarket, trades: Sequence[Row], now_us: int) -> list[bytes]:
        return [_frame(channel, market, trade) for trade in trades]

    def rest(self, path: str, params: Mapping[str, str], now_us: int) -> Answer:
        match path.strip("/").removeprefix("api/v2/").split("/"):
            case ["trading-pairs-info"]:
                rows: object = [_pair(native, market) for native, market in self.markets.items()]
            case ["ticker"]:
                rows = [_ticker(sim, self.last_day(sim, now_us), now_us) for sim in self.markets.values()]
            case ["ohlc", native] if native in self.markets:
                rows = self._ohlc(self.markets[native], params, now_us)
            case ["transactions", native] if native in self.markets:
                rows = self._transactions(self.markets[native], params, now_us)
            case _:
                raise Refused(Answer(b"<!DOCTYPE html><title>Page not found</title>", 404))
        return Answer(encode(rows))

    def _ohlc(self, market: SimMarket, params: Mapping[str, str], now_us: int) -> dict[str, Any]:
        """The newest ``limit`` candles between ``start`` and ``end``, both included."""
        step_s, limit = whole(params.get("step")), whole(params.get("limit"), 1)
        if step_s not in _STEPS_S:
            raise _wrong("Invalid step")
        if limit is None or limit > _MOST_CANDLES:
            raise _wrong("Invalid limit")
        each = step_s // 60
        end_s = whole(params.get("end", str(now_us // SECOND_US)))
        start_s = whole(params.get("start", "0"))
        if end_s is None or start_s is None:
            raise _wrong("Invalid start or end")
        last = min(end_s, now_us // SECOND_US) // step_s
        first = max(-(-start_s // step_s), last - limit + 1)
        candles = self.history.candles(market, each, first * each, last * each, now_us)
        listed = [_candle(market, row) for row in table(market, candles)]
        return {"data": {"ohlc": listed, "pair": _name(market)}}

    def _transactions(
        self, market: SimMarket, params: Mapping[str, str], now_us: int
    ) -> list[dict[str, str]]:
        """The trades of the last minute, hour or day, newest first, in whole seconds."""
        span_us = _SPANS_US.get(params.get("time", "hour"))
        if span_us is None:
            raise _wrong("Invalid time")
        newest = self.history.last_id(market, now_us)
        oldest = self.history.first_id_from(market, now_us - span_us)
        oldest_first = rows(self.history.trades(market, oldest, newest))
        return [_transaction(market, trade) for trade in reversed(oldest_first)]


class _Data(msgspec.Struct, frozen=True):
    channel: str = ""


class _Request(msgspec.Struct):
    event: str
    data: _Data = _Data()


class _BitstampSession(Session):
    def __init__(self, venue: Bitstamp, stream: Stream) -> None:
        super().__init__(stream)
        self._venue = venue
        self._channels: set[str] = set()

    def receive(self, text: str, now_us: int) -> list[bytes]:
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.DecodeError:
            return [_error("", "Bad message.")]
        if request.event == "bts:heartbeat":
            return [encode({"event": "bts:heartbeat", "channel": "", "data": {"status": "success"}})]
        channel = request.data.channel
        market = self._venue.markets.get(channel.removeprefix(_CHANNEL))
        if market is None or not channel.startswith(_CHANNEL):
            return [_error(channel, "Bad subscription string.")]
        if request.event == "bts:subscribe":
            if channel not in self._channels:
                self._channels.add(channel)
                self.stream.join(channel, market)
            return [_done("bts:subscription_succeeded", channel)]
        if request.event == "bts:unsubscribe":
            if channel in self._channels:
                self._channels.discard(channel)
                self.stream.leave(channel, market)
            return [_done("bts:unsubscription_succeeded", channel)]
        return [_error(channel, "Incorrect JSON format.")]


def _done(event: str, channel: str) -> bytes:
    return encode({"event": event, "channel": channel, "data": {}})


def _error(channel: str, message: str) -> bytes:
    return encode({"event": "bts:error", "channel": channel, "data": {"code": None, "message": message}})


def _frame(channel: str, market: SimMarket, trade: Row) -> bytes:
    amount, price = f"{trade.amount:.8f}", f"{trade.price:.{market.price_decimals}f}"
    return (
        f'{{"data":{{"id":{trade.trade_id},"timestamp":"{trade.ts_us // SECOND_US}",'
        f'"amount":{float(amount)!r},"amount_str":"{amount}","price":{float(price)!r},'
        f'"price_str":"{price}","type":{_type(trade)},"microtimestamp":"{trade.ts_us}",'
        f'"buy_order_id":{trade.trade_id * 2},"sell_order_id":{trade.trade_id * 2 + 1}}},'
        f'"channel":"{channel}","event":"trade"}}'
    ).encode()


def _transaction(market: SimMarket, trade: Row) -> dict[str, str]:
    return {
        "amount": f"{trade.amount:.8f}",
        "date": str(trade.ts_us // SECOND_US),
        "price": f"{trade.price:.{market.price_decimals}f}",
        "tid": str(trade.trade_id),
        "type": str(_type(trade)),
    }


def _type(trade: Row) -> int:
    return 0 if trade.taker_buys else 1


def _candle(market: SimMarket, row: dict[str, Any]) -> dict[str, str]:
    digits = market.price_decimals
    prices = {name: f"{row[name]:.{digits}f}" for name in ("close", "high", "low", "open")}
    return {**prices, "timestamp": str(row["minute"] * 60), "volume": f"{row['volume']:.8f}"}


def _name(market: SimMarket) -> str:
    return f"{market.market.symbol.base}/{market.market.symbol.quote}"


def _ticker(market: SimMarket, day: Day, now_us: int) -> dict[str, str]:
    mean = day.quote_volume / day.volume if day.volume else day.last
    prices = {"last": day.last, "open": day.open, "high": day.high, "low": day.low, "vwap": mean}
    return {
        "timestamp": str(now_us // SECOND_US),
        **{name: f"{price:.{market.price_decimals}f}" for name, price in prices.items()},
        "volume": f"{day.volume:.8f}",
        "market_type": "SPOT",
        "pair": _name(market),
    }


def _pair(native: str, market: SimMarket) -> dict[str, Any]:
    return {
        "trading": "Enabled",
        "base_decimals": market.amount_decimals,
        "url_symbol": native,
        "name": _name(market),
        "instant_and_market_orders": "Enabled",
        "minimum_order": f"10.0 {market.market.symbol.quote}",
        "counter_decimals": market.price_decimals,
        "description": _name(market),
    }


def _wrong(reason: str) -> Refused:
    return Refused(Answer(encode({"status": "error", "reason": reason, "code": "API0000"}), 400))
