"""Binance spot: combined and raw streams, api/v3."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from coinwatch.records import Market
from coinwatch.times import MINUTE_US, SECOND_US
from simulator.exchanges.base import (
    Answer,
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
from simulator.exchanges.binance_json import (
    agg_trade_frame,
    agg_trade_row,
    kline,
    symbol_info,
    ticker,
    trade_frame,
    trade_rows,
)
from simulator.history import History
from simulator.markets import SimMarket

_INTERVAL_MINUTES = {
    **{f"{minutes}m": minutes for minutes in (1, 3, 5, 15, 30)},
    **{f"{hours}h": hours * 60 for hours in (1, 2, 4, 6, 8, 12)},
    "1d": 1_440,
}
_WEIGHTS = {"klines": 2, "aggTrades": 4, "trades": 25, "historicalTrades": 25, "exchangeInfo": 20}
_WEIGHTS |= {"ticker/24hr": 80}
_WEIGHT_LIMIT = 6_000
_PATIENCE = 10
"""The number of 429 answers in a minute before the address is banned."""
_BAN_US = 2 * MINUTE_US
_CHANNELS = ("aggTrade", "trade")
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_MESSAGES_PER_S = 5
_STREAMS_PER_CONNECTION = 1_024
_MAX_LIMIT, _DEFAULT_LIMIT = 1_000, 500


class _Used(msgspec.Struct):
    """The requests of one minute."""

    minute: int = 0
    weight: int = 0
    refused_requests: int = 0


class Binance(Venue):
    name: ClassVar[str] = "binance"

    def __init__(self, markets: Mapping[Market, SimMarket], history: History) -> None:
        super().__init__(markets, history)
        self._lock = threading.Lock()
        self._used = _Used()
        self._banned_until_us = 0

    def native(self, market: SimMarket) -> str:
        """``BTCUSDT``"""
        return f"{market.market.symbol.base}{market.market.symbol.quote}"

    def session(self, path: str, params: Mapping[str, str], stream: Stream) -> Session | None:
        if path == "/stream":
            names = params.get("streams", "").split("/")
        elif path == "/ws" or path.startswith("/ws/"):
            names = path.removeprefix("/ws").split("/")
        else:
            return None
        return _BinanceSession(self, stream, [name for name in names if name], combined=path == "/stream")

    def frames(self, channel: str, market: SimMarket, trades: Sequence[Row], now_us: int) -> list[bytes]:
        kind, _, wrapped = channel.partition("/")
        native, event_ms = self.native(market), now_us // 1_000
        opening, closing = "", ""
        if wrapped:
            opening, closing = f'{{"stream":"{native.lower()}@{kind}","data":', "}"
        write = agg_trade_frame if kind == "aggTrade" else trade_frame
        return [f"{opening}{write(native, trade, event_ms)}{closing}".encode() for trade in trades]

    def shutdown(self, now_us: int) -> bytes:
        return encode({"e": "serverShutdown", "E": now_us // 1_000})

    def rest(self, path: str, params: Mapping[str, str], now_us: int) -> Answer:
        version, _, name = path.removeprefix("/api/").partition("/")
        if version != "v3" or name not in _REST:
            raise Refused(Answer(b"<html><body><h2>404 Not found</h2></body></html>", 404))
        used = str(self._spend(_WEIGHTS.get(name, 1), now_us))
        body: bytes = _REST[name](self, params, now_us)
        return Answer(body, headers={"x-mbx-used-weight": used, "x-mbx-used-weight-1m": used})

    def _spend(self, weight: int, now_us: int) -> int:
        """The weight used in this minute. Raises Refused above the limit."""
        minute = now_us // MINUTE_US
        with self._lock:
            if now_us < self._banned_until_us:
                raise _banned(self._banned_until_us, now_us)
            if self._used.minute != minute:
                self._used = _Used(minute)
            used = self._used
            used.weight += weight
            if used.weight > _WEIGHT_LIMIT:
                used.refused_requests += 1
                if used.refused_requests > _PATIENCE:
                    self._banned_until_us = now_us + _BAN_US
                    raise _banned(self._banned_until_us, now_us)
                raise _too_much((minute + 1) * MINUTE_US, now_us)
            return used.weight

    def _market(self, params: Mapping[str, str]) -> SimMarket:
        symbol = _mandatory(params, "symbol")
        if symbol not in self.markets:
            raise _error(-1121, "Invalid symbol.")
        return self.markets[symbol]

    def ping(self, params: Mapping[str, str], now_us: int) -> bytes:
        return b"{}"

    def time(self, params: Mapping[str, str], now_us: int) -> bytes:
        return encode({"serverTime": now_us // 1_000})

    def exchange_info(self, params: Mapping[str, str], now_us: int) -> bytes:
        if "symbol" in params:
            self._market(params)
        limits = [("REQUEST_WEIGHT", "MINUTE", 1, _WEIGHT_LIMIT), ("ORDERS", "SECOND", 10, 50)]
        limits += [("ORDERS", "DAY", 1, 160_000), ("RAW_REQUESTS", "MINUTE", 5, 61_000)]
        names = ("rateLimitType", "interval", "intervalNum", "limit")
        return encode(
            {
                "timezone": "UTC",
                "serverTime": now_us // 1_000,
                "rateLimits": [dict(zip(names, limit, strict=True)) for limit in limits],
                "exchangeFilters": [],
                "symbols": [
                    symbol_info(native, market)
                    for native, market in self.markets.items()
                    if params.get("symbol", native) == native
                ],
            }
        )

    def klines(self, params: Mapping[str, str], now_us: int) -> bytes:
        market = self._market(params)
        minutes_each = _INTERVAL_MINUTES.get(_mandatory(params, "interval"))
        if minutes_each is None:
            raise _error(-1120, "Invalid interval.")
        limit = _limit(params)
        start_ms, end_ms = _number(params, "startTime"), _number(params, "endTime")
        each_ms = minutes_each * 60_000
        now_ms = now_us // 1_000
        last = (now_ms if end_ms is None else min(end_ms, now_ms)) // each_ms
        first = last - limit + 1
        if start_ms is not None:
            first = -(-start_ms // each_ms)
            last = min(last, first + limit - 1)
        candles = self.history.candles(
            market, minutes_each, first * minutes_each, last * minutes_each, now_us
        )
        return b"[" + b",".join(kline(row, each_ms) for row in table(market, candles)) + b"]"

    def tickers(self, params: Mapping[str, str], now_us: int) -> bytes:
        """All markets, in the short form."""
        if "symbol" in params or params.get("type") != "MINI":
            raise _error(-1128, "Combination of optional parameters invalid.")
        return encode([ticker(native, self.last_day(sim, now_us)) for native, sim in self.markets.items()])

    def agg_trades(self, params: Mapping[str, str], now_us: int) -> bytes:
        market = self._market(params)
        limit, from_id = _limit(params), _number(params, "fromId")
        start_ms, end_ms = _number(params, "startTime"), _number(params, "endTime")
        if from_id is not None and (start_ms is not None or end_ms is not None):
            raise _error(-1128, "Combination of optional parameters invalid.")
        newest = self.history.last_id(market, now_us)
        if end_ms is not None:
            newest = min(newest, self.history.last_id(market, end_ms * 1_000))
        if start_ms is not None:
            from_id = self.history.first_id_from(market, start_ms * 1_000)
        trades = self._some_trades(market, from_id, limit, newest)
        return b"[" + b",".join(agg_trade_row(trade) for trade in trades) + b"]"

    def trades(self, params: Mapping[str, str], now_us: int) -> bytes:
        market = self._market(params)
        newest = self.history.last_id(market, now_us)
        return trade_rows(self._some_trades(market, None, _limit(params), newest))

    def historical_trades(self, params: Mapping[str, str], now_us: int) -> bytes:
        market = self._market(params)
        newest = self.history.last_id(market, now_us)
        return trade_rows(self._some_trades(market, _number(params, "fromId"), _limit(params), newest))

    def _some_trades(self, market: SimMarket, from_id: int | None, limit: int, newest: int) -> list[Row]:
        first = max(newest - limit + 1 if from_id is None else from_id, 1)
        return rows(self.history.trades(market, first, min(first + limit - 1, newest)))


_REST = {
    "ping": Binance.ping,
    "time": Binance.time,
    "exchangeInfo": Binance.exchange_info,
    "klines": Binance.klines,
    "ticker/24hr": Binance.tickers,
    "aggTrades": Binance.agg_trades,
    "trades": Binance.trades,
    "historicalTrades": Binance.historical_trades,
}


class _Request(msgspec.Struct):
    method: str
    params: list[Any] = []
    id: int | str | None = None


class _BinanceSession(Session):
    """Streams of the URL and of SUBSCRIBE. Unknown symbols are accepted and stay silent."""

    def __init__(self, venue: Binance, stream: Stream, names: list[str], *, combined: bool) -> None:
        super().__init__(stream)
        self._venue = venue
        self._wrap = "/combined" if combined else ""
        self._in_url = names
        self._streams: dict[str, None] = {}
        self._heard_us: deque[int] = deque(maxlen=_MESSAGES_PER_S + 1)

    def opening(self, now_us: int) -> list[bytes]:
        self._subscribe(self._in_url)
        return []

    def receive(self, text: str, now_us: int) -> list[bytes]:
        self._heard_us.append(now_us)
        if len(self._heard_us) > _MESSAGES_PER_S and now_us - self._heard_us[0] < SECOND_US:
            raise ConnectionAbortedError("more than 5 messages a second")
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.ValidationError as error:
            return [_refusal(2, f"Invalid request: {error}", None)]
        except msgspec.DecodeError as error:
            return [_refusal(3, f"Invalid JSON: {error}", None)]
        if request.method not in _METHODS:
            expected = ", ".join(f"`{method}`" for method in _METHODS)
            problem = f"Invalid request: unknown variant `{request.method}`, expected one of {expected}"
            return [_refusal(2, problem, request.id)]
        names = [name for name in request.params if isinstance(name, str)]
        result: object = None
        if request.method == "SUBSCRIBE":
            if len(names) != len(request.params) or not names:
                return [_refusal(2, "Invalid request: params must be stream names", request.id)]
            self._subscribe(names)
        elif request.method == "UNSUBSCRIBE":
            self._unsubscribe(names)
        elif request.method == "LIST_SUBSCRIPTIONS":
            result = list(self._streams)
        elif names[:1] != ["combined"]:
            return [_refusal(0, "Unknown property", request.id)]
        elif request.method == "GET_PROPERTY":
            result = bool(self._wrap)
        else:
            self._rewrap(bool(request.params[-1]))
        return [encode({"result": result, "id": request.id})]

    def _subscribe(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._streams:
                self._streams[name] = None
                if match := self._match(name):
                    self.stream.join(*match)
        if len(self._streams) > _STREAMS_PER_CONNECTION:
            raise ConnectionAbortedError("more than 1,024 streams")

    def _unsubscribe(self, names: Sequence[str]) -> None:
        for name in names:
            if name in self._streams:
                del self._streams[name]
                if match := self._match(name):
                    self.stream.leave(*match)

    def _rewrap(self, combined: bool) -> None:
        names = list(self._streams)
        self._unsubscribe(names)
        self._wrap = "/combined" if combined else ""
        self._subscribe(names)

    def _match(self, name: str) -> tuple[str, SimMarket] | None:
        symbol, _, channel = name.partition("@")
        market = self._venue.markets.get(symbol.upper()) if symbol.islower() else None
        return (channel + self._wrap, market) if market and channel in _CHANNELS else None


def _mandatory(params: Mapping[str, str], name: str) -> str:
    if not params.get(name):
        raise _error(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return params[name]


def _number(params: Mapping[str, str], name: str) -> int | None:
    if name not in params:
        return None
    number = whole(params[name])
    if number is None:
        raise _error(
            -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
        )
    return number


def _limit(params: Mapping[str, str]) -> int:
    limit = _number(params, "limit")
    return _DEFAULT_LIMIT if limit is None else max(1, min(limit, _MAX_LIMIT))


def _error(code: int, problem: str) -> Refused:
    return Refused(Answer(encode({"code": code, "msg": problem}), 400))


def _too_much(until_us: int, now_us: int) -> Refused:
    problem = (
        f"Too much request weight used; current limit is {_WEIGHT_LIMIT} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    return _wait(429, problem, until_us, now_us)


def _banned(until_us: int, now_us: int) -> Refused:
    problem = (
        f"Way too much request weight used; IP banned until {until_us // 1_000}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    return _wait(418, problem, until_us, now_us)


def _wait(status: int, problem: str, until_us: int, now_us: int) -> Refused:
    headers = {"retry-after": str(-((now_us - until_us) // SECOND_US))}
    return Refused(Answer(encode({"code": -1003, "msg": problem}), status, headers))


def _refusal(code: int, problem: str, request_id: int | str | None) -> bytes:
    return encode({"error": {"code": code, "msg": problem}, "id": request_id})
