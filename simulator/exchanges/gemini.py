"""Gemini spot: websocket ``@trade`` streams and archived v2 marketdata (``l2``), REST v1 and v2/candles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from coinwatch.records import Market
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US
from simulator.exchanges.base import Answer, Refused, Row, Session, Stream, Venue, encode, rows, table, whole
from simulator.history import History
from simulator.markets import SimMarket

_TIME_FRAMES = {
    "1m": (1, 1_440),
    "5m": (5, 2_015),
    "15m": (15, 1_343),
    "30m": (30, 1_439),
    "1hr": (60, 1_463),
}
"""Minutes, and the number of candles served. Daily ones open at midnight in New York and are left out."""
_TRADE = "trade"
_PAST_TRADES = 50
_MOST_TRADES = 500
_TRADES_SHOWN_US = 7 * DAY_US
_BOOK_LEVELS = 200
_BEAT_EVERY_US = 5 * SECOND_US
_MS_DIGITS = 10**12
"""A smaller ``timestamp`` is in seconds."""


class Gemini(Venue):
    name: ClassVar[str] = "gemini"

    def __init__(self, markets: Mapping[Market, SimMarket], history: History) -> None:
        super().__init__(markets, history)
        self._by_symbol = {native.lower(): market for native, market in self.markets.items()}

    def native(self, market: SimMarket) -> str:
        """``BTCUSD``"""
        return f"{market.market.symbol.base}{market.market.symbol.quote}"

    def session(self, path: str, params: Mapping[str, str], stream: Stream) -> Session | None:
        if path in ("", "/"):
            return _Session(self, stream)
        return _V2Session(self, stream) if path in ("/v2/marketdata", "/v2/marketdata/") else None

    def frames(self, channel: str, market: SimMarket, trades: Sequence[Row], now_us: int) -> list[bytes]:
        """One frame per trade; of v2, the changes of the book follow."""
        if channel == _TRADE:
            return [encode(self.stream_trade(market, row)) for row in trades]
        taken = [["sell" if row.taker_buys else "buy", number(row.price), "0"] for row in trades]
        return [*(encode(self.trade(market, row)) for row in trades), encode(self._book(market, taken))]

    def stream_trade(self, market: SimMarket, row: Row) -> dict[str, Any]:
        return {
            "E": row.ts_us * 1_000,
            "s": self.native(market).lower(),
            "t": row.trade_id,
            "p": number(row.price),
            "q": number(row.amount),
            "m": not row.taker_buys,
        }

    def trade(self, market: SimMarket, row: Row) -> dict[str, Any]:
        return {
            "type": "trade",
            "symbol": self.native(market),
            "event_id": row.trade_id,
            "timestamp": row.ts_us // 1_000,
            "price": number(row.price),
            "quantity": number(row.amount),
            "side": _side(row),
        }

    def first_book(self, market: SimMarket, past: Sequence[Row]) -> bytes:
        """A minimal book and the last trades, oldest first."""
        middle = past[-1].price if past else market.start_price
        changes = [
            [side, number(round(middle + sign * level * market.price_step, market.price_decimals)), "1.5"]
            for side, sign in (("buy", -1), ("sell", 1))
            for level in range(1, _BOOK_LEVELS + 1)
        ]
        trades = [self.trade(market, row) for row in past]
        return encode({**self._book(market, changes), "trades": trades, "auction_events": []})

    def _book(self, market: SimMarket, changes: list[list[str]]) -> dict[str, Any]:
        return {"type": "l2_updates", "symbol": self.native(market), "changes": changes}

    def rest(self, path: str, params: Mapping[str, str], now_us: int) -> Answer:
        match path.strip("/").split("/"):
            case ["v1", "symbols"]:
                return Answer(encode(list(self._by_symbol)))
            case ["v1", "symbols", "details", "all"]:
                return Answer(encode([_details(market) for market in self._by_symbol.values()]))
            case ["v1", "symbols", "details", symbol]:
                return Answer(encode(_details(self._market(symbol))))
            case ["v1", "trades", symbol]:
                return self._trades(self._market(symbol), params, now_us)
            case ["v2", "candles", symbol, time_frame]:
                return self._candles(self._market(symbol), time_frame, now_us)
        raise _refused("EndpointNotFound", f"API entry point `{path}` not found", 404)

    def by_symbol(self, symbol: str) -> SimMarket | None:
        """The market called ``btcusd``."""
        return self._by_symbol.get(symbol.lower())

    def _market(self, symbol: str) -> SimMarket:
        market = self.by_symbol(symbol)
        if market is None:
            raise _refused("InvalidSymbol", f"Received unsupported symbol '{symbol}'")
        return market

    def _trades(self, market: SimMarket, params: Mapping[str, str], now_us: int) -> Answer:
        """The oldest trades after ``timestamp``, or the newest; always newest first."""
        limit, after = whole(params.get("limit_trades", "50"), 0), whole(params.get("timestamp", "0"))
        if limit is None or after is None:
            raise _refused("InvalidParameterValue", "Invalid value for a parameter")
        limit = min(limit, _MOST_TRADES)
        newest = self.history.last_id(market, now_us)
        if "timestamp" in params:
            after_us = after * 1_000 if after >= _MS_DIGITS else after * SECOND_US
            shown_us = max(after_us + 1_000, now_us - _TRADES_SHOWN_US)
            first = self.history.first_id_from(market, shown_us)
            listed = rows(self.history.trades(market, first, min(first + limit - 1, newest)))
        else:
            listed = rows(self.history.last_trades(market, limit, newest))
        return Answer(encode([_rest_trade(row) for row in reversed(listed)]))

    def _candles(self, market: SimMarket, time_frame: str, now_us: int) -> Answer:
        """All candles, newest first, including the open one; those without trades are flat."""
        if time_frame not in _TIME_FRAMES:
            known = ", ".join(_TIME_FRAMES)
            raise _refused("InvalidParameterValue", f"Invalid time frame, accepted are [{known}]")
        each, count = _TIME_FRAMES[time_frame]
        open_minute = now_us // MINUTE_US // each * each
        candles = self.history.candles(market, each, open_minute - (count - 1) * each, open_minute, now_us)
        names = ("open", "high", "low", "close", "volume")
        listed = [
            [row["minute"] * 60_000, *(row[name] for name in names)]
            for row in reversed(table(market, candles))
        ]
        return Answer(encode(listed))


class _Subscription(msgspec.Struct):
    name: str
    symbols: list[str]


class _Request(msgspec.Struct):
    type: str
    subscriptions: list[_Subscription]


class _Call(msgspec.Struct):
    id: str | int
    method: str
    params: list[str] = []


class _Session(Session):
    """Sends no heartbeats. Method names are accepted in any case."""

    def __init__(self, venue: Gemini, stream: Stream) -> None:
        super().__init__(stream)
        self._venue = venue
        self._joined: set[str] = set()

    def receive(self, text: str, now_us: int) -> list[bytes]:
        try:
            call = msgspec.json.decode(text, type=_Call)
        except msgspec.DecodeError:
            return [_failure(None, -1130, "Invalid request")]
        method = call.method.lower()
        if method not in ("subscribe", "unsubscribe"):
            return [_failure(call.id, -1100, f"Unknown method {call.method}")]
        for stream in call.params:
            symbol, _, kind = stream.partition("@")
            market = self._venue.by_symbol(symbol)
            if market is None or kind != _TRADE:
                return [_failure(call.id, -1121, f"Invalid stream {stream}")]
            if method == "unsubscribe" and symbol in self._joined:
                self._joined.remove(symbol)
                self.stream.leave(_TRADE, market)
            elif method == "subscribe" and symbol not in self._joined:
                self._joined.add(symbol)
                self.stream.join(_TRADE, market)
        return [encode({"id": call.id, "status": 200})]


def _failure(call_id: str | int | None, code: int, message: str) -> bytes:
    return encode({"id": call_id, "status": 400, "error": {"code": code, "msg": message}})


class _V2Session(Session):
    """Subscriptions are answered only by the book."""

    def __init__(self, venue: Gemini, stream: Stream) -> None:
        super().__init__(stream)
        self._venue = venue
        self._symbols: set[str] = set()
        self._beat_us = 0

    def heartbeats(self, now_us: int, *, idle: bool) -> list[bytes]:
        if now_us - self._beat_us < _BEAT_EVERY_US:
            return []
        self._beat_us = now_us
        return [encode({"type": "heartbeat", "timestamp": now_us // 1_000})]

    def receive(self, text: str, now_us: int) -> list[bytes]:
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.DecodeError:
            return [_error("InvalidJson", "Unable to parse the request")]
        wanted = [(entry.name, symbol) for entry in request.subscriptions for symbol in entry.symbols]
        unknown = next((symbol for _, symbol in wanted if symbol not in self._venue.markets), None)
        if unknown is not None:
            return [_error("InvalidSymbol", f"Received unsupported symbol '{unknown}'")]
        if request.type not in ("subscribe", "unsubscribe") or any(name != "l2" for name, _ in wanted):
            return [_error("InvalidRequest", "Not supported")]
        frames = []
        for _, symbol in wanted:
            market = self._venue.markets[symbol]
            if request.type == "unsubscribe" and symbol in self._symbols:
                self._symbols.remove(symbol)
                self.stream.leave("l2", market)
            elif request.type == "subscribe" and symbol not in self._symbols:
                self._symbols.add(symbol)
                last_id = self.stream.join("l2", market)
                past = rows(self._venue.history.last_trades(market, _PAST_TRADES, last_id))
                frames.append(self._venue.first_book(market, past))
        return frames


def number(value: float) -> str:
    """Without trailing zeros: ``0.07946``, ``5``."""
    return f"{value:.10f}".rstrip("0").rstrip(".")


def _error(reason: str, message: str) -> bytes:
    return encode({"result": "error", "reason": reason, "message": message})


def _refused(reason: str, message: str, status: int = 400) -> Refused:
    return Refused(Answer(_error(reason, message), status))


def _side(row: Row) -> str:
    return "buy" if row.taker_buys else "sell"


def _rest_trade(row: Row) -> dict[str, Any]:
    return {
        "timestamp": row.ts_us // SECOND_US,
        "timestampms": row.ts_us // 1_000,
        "tid": row.trade_id,
        "price": number(row.price),
        "amount": number(row.amount),
        "exchange": "gemini",
        "type": _side(row),
    }


def _details(market: SimMarket) -> dict[str, Any]:
    symbol = market.market.symbol
    return {
        "symbol": f"{symbol.base}{symbol.quote}",
        "base_currency": symbol.base,
        "quote_currency": symbol.quote,
        "tick_size": market.amount_step,
        "quote_increment": market.price_step,
        "min_order_size": number(market.amount_step),
        "status": "open",
    }
