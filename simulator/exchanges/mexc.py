"""MEXC spot: websocket ``public.aggre.deals`` in protobuf, REST api/v3. Trades have no ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, ClassVar

import msgspec

from coinwatch.records import Market
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

_CHANNEL = "spot@public.aggre.deals.v3.api.pb@100ms@"
_INTERVAL_MINUTES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "60m": 60, "4h": 240, "1d": 1_440}
_MOST_CANDLES, _DEFAULT_CANDLES = 500, 500
_MOST_TRADES, _DEFAULT_TRADES = 1_000, 500
_MOST_SUBSCRIPTIONS = 30
_VARINT, _BYTES = 0, 2
"""Wire types of protobuf."""


class Mexc(Venue):
    name: ClassVar[str] = "mexc"
    binary: ClassVar[bool] = True

    def __init__(self, markets: Mapping[Market, SimMarket], history: History) -> None:
        super().__init__(markets, history)
        self._sent = count()

    def native(self, market: SimMarket) -> str:
        """``BTCUSDT``"""
        return f"{market.market.symbol.base}{market.market.symbol.quote}"

    def session(self, path: str, params: Mapping[str, str], stream: Stream) -> Session | None:
        return _MexcSession(self, stream) if path == "/ws" else None

    def frames(self, channel: str, market: SimMarket, trades: Sequence[Row], now_us: int) -> list[bytes]:
        """One frame; frames are unique, because the send time never repeats."""
        deals = b"".join(_field(1, _deal(market, trade)) for trade in trades)
        deals += _field(2, channel.rpartition("@")[0].encode())
        send_time = now_us // 1_000 * 1_000 + next(self._sent) % 1_000
        return [
            _field(1, channel.encode())
            + _field(3, self.native(market).encode())
            + _number(5, now_us // 1_000)
            + _number(6, send_time)
            + _field(314, deals)
        ]

    def rest(self, path: str, params: Mapping[str, str], now_us: int) -> Answer:
        match path:
            case "/api/v3/exchangeInfo":
                listed = [_pair(native, market) for native, market in self.markets.items()]
                result: object = {"timezone": "CST", "serverTime": now_us // 1_000, "symbols": listed}
            case "/api/v3/ticker/24hr" if "symbol" not in params:
                sims = self.markets.items()
                result = [_ticker(native, sim, self.last_day(sim, now_us)) for native, sim in sims]
            case "/api/v3/klines":
                result = self._klines(params, now_us)
            case "/api/v3/trades":
                result = self._trades(params, now_us)
            case _:
                raise Refused(Answer(b'{"code":404,"msg":"Not Found"}', 404))
        return Answer(encode(result))

    def _market(self, params: Mapping[str, str]) -> SimMarket:
        if params.get("symbol") not in self.markets:
            raise _refused(-1121, "Invalid symbol.")
        return self.markets[params["symbol"]]

    def _klines(self, params: Mapping[str, str], now_us: int) -> list[list[Any]]:
        """Oldest first, those that open from ``startTime`` on."""
        market = self._market(params)
        each = _INTERVAL_MINUTES.get(params.get("interval", ""))
        limit = whole(params.get("limit", str(_DEFAULT_CANDLES)), 1)
        if each is None:
            raise _refused(-1121, "Invalid interval.")
        if limit is None:
            raise _refused(700003, "Invalid limit")
        limit, each_ms = min(limit, _MOST_CANDLES), each * 60_000
        end_ms = whole(params.get("endTime", str(now_us // 1_000)))
        start_ms = whole(params["startTime"]) if "startTime" in params else None
        if end_ms is None:
            raise _refused(700003, "Invalid endTime")
        last = min(end_ms, now_us // 1_000) // each_ms
        first = last - limit + 1 if start_ms is None else -(-start_ms // each_ms)
        last = min(last, first + limit - 1)
        candles = self.history.candles(market, each, first * each, last * each, now_us)
        return [_candle(market, row, each) for row in table(market, candles)]

    def _trades(self, params: Mapping[str, str], now_us: int) -> list[dict[str, Any]]:
        """The newest, newest first."""
        market = self._market(params)
        limit = whole(params.get("limit", str(_DEFAULT_TRADES)), 1)
        if limit is None:
            raise _refused(700003, "Invalid limit")
        newest = self.history.last_id(market, now_us)
        oldest_first = rows(self.history.last_trades(market, min(limit, _MOST_TRADES), newest))
        return [_trade(market, trade) for trade in reversed(oldest_first)]


class _Request(msgspec.Struct):
    method: str
    params: list[str] = []
    id: int = 0


class _MexcSession(Session):
    def __init__(self, venue: Mexc, stream: Stream) -> None:
        super().__init__(stream)
        self._venue = venue
        self._channels: set[str] = set()

    def receive(self, text: str, now_us: int) -> list[bytes]:
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.DecodeError:
            return [_answer_text(0, "Request error")]
        if request.method == "PING":
            return [_answer_text(request.id, "PONG")]
        if request.method not in ("SUBSCRIPTION", "UNSUBSCRIPTION"):
            return [_answer_text(request.id, "Request error")]
        done = [channel for channel in request.params if self._change(request.method, channel)]
        if len(done) == len(request.params):
            return [_answer_text(request.id, ",".join(done))]
        refused = ",".join(f"[{channel}]" for channel in request.params if channel not in done)
        return [_answer_text(request.id, f"Not Subscribed successfully! {refused}.  Reason\uff1a Blocked! ")]

    def _change(self, method: str, channel: str) -> bool:
        market = self._venue.markets.get(channel.removeprefix(_CHANNEL))
        if market is None or not channel.startswith(_CHANNEL):
            return False
        if method == "UNSUBSCRIPTION" and channel in self._channels:
            self._channels.discard(channel)
            self.stream.leave(channel, market)
        elif method == "SUBSCRIPTION" and channel not in self._channels:
            if len(self._channels) >= _MOST_SUBSCRIPTIONS:
                return False
            self._channels.add(channel)
            self.stream.join(channel, market)
        return True


def _answer_text(request_id: int, message: str) -> bytes:
    return encode({"id": request_id, "code": 0, "msg": message})


def _refused(code: int, message: str) -> Refused:
    return Refused(Answer(encode({"code": code, "msg": message, "_extend": None}), 400))


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _field(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value


def _deal(market: SimMarket, trade: Row) -> bytes:
    return (
        _field(1, _price(market, trade).encode())
        + _field(2, _amount(market, trade).encode())
        + _number(3, 1 if trade.taker_buys else 2)
        + _number(4, trade.ts_us // 1_000)
    )


def _price(market: SimMarket, trade: Row) -> str:
    return f"{trade.price:.{market.price_decimals}f}"


def _amount(market: SimMarket, trade: Row) -> str:
    return f"{trade.amount:.{market.amount_decimals}f}"


def _trade(market: SimMarket, trade: Row) -> dict[str, Any]:
    return {
        "id": None,
        "price": _price(market, trade),
        "qty": _amount(market, trade),
        "quoteQty": f"{trade.price * trade.amount:.10f}",
        "time": trade.ts_us // 1_000,
        "isBuyerMaker": not trade.taker_buys,
        "isBestMatch": True,
        "tradeType": "BID" if trade.taker_buys else "ASK",
    }


def _candle(market: SimMarket, row: dict[str, Any], each: int) -> list[Any]:
    start_ms = row["minute"] * 60_000
    prices = (f"{row[name]:.{market.price_decimals}f}" for name in ("open", "high", "low", "close"))
    volume, quote_volume = f"{row['volume']:.8f}", f"{row['quote_volume']:.8f}"
    return [start_ms, *prices, volume, start_ms + each * 60_000, quote_volume]


def _ticker(native: str, market: SimMarket, day: Day) -> dict[str, Any]:
    prices = {"lastPrice": day.last, "openPrice": day.open, "highPrice": day.high, "lowPrice": day.low}
    return {
        "symbol": native,
        **{name: f"{price:.{market.price_decimals}f}" for name, price in prices.items()},
        "volume": f"{day.volume:.8f}",
        "quoteVolume": f"{day.quote_volume:.2f}",
        "count": None,
    }


def _pair(native: str, market: SimMarket) -> dict[str, Any]:
    return {
        "symbol": native,
        "status": "1",
        "baseAsset": market.market.symbol.base,
        "quoteAsset": market.market.symbol.quote,
        "quotePrecision": market.price_decimals,
        "baseAssetPrecision": market.amount_decimals,
        "baseSizePrecision": f"{market.amount_step * 100:.{market.amount_decimals}f}",
        "isSpotTradingAllowed": True,
    }
