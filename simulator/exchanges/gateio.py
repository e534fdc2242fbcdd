"""Gate.io spot: websocket v4 ``spot.trades``, REST api/v4."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
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
from simulator.providers.coins import SimCoin, sim_coins
from simulator.truth import GENESIS_MINUTE

_INTERVAL_MINUTES = {
    **{f"{minutes}m": minutes for minutes in (1, 5, 15, 30)},
    **{f"{hours}h": hours * 60 for hours in (1, 4, 8)},
    "1d": 1_440,
}
_MOST_ROWS, _DEFAULT_ROWS = 1_000, 100
_CANDLES_KEPT = 10_000
_REQUESTS, _REQUESTS_WITHIN_US = 200, 10 * SECOND_US
"""The rate limit of an address per endpoint."""


class Gateio(Venue):
    name: ClassVar[str] = "gateio"

    def __init__(self, markets: Mapping[Market, SimMarket], history: History) -> None:
        super().__init__(markets, history)
        self._assets = {
            asset
            for market in self.markets.values()
            for asset in (market.market.symbol.base, market.market.symbol.quote)
        }
        self._lock = threading.Lock()
        self._asked_us: dict[str, deque[int]] = {name: deque(maxlen=_REQUESTS) for name in _REST}

    def native(self, market: SimMarket) -> str:
        """``BTC_USDT``"""
        return f"{market.market.symbol.base}_{market.market.symbol.quote}"

    def session(self, path: str, params: Mapping[str, str], stream: Stream) -> Session | None:
        return _GateioSession(self, stream) if path.rstrip("/") == "/ws/v4" else None

    def frames(self, channel: str, market: SimMarket, trades: Sequence[Row], now_us: int) -> list[bytes]:
        native, now_ms = self.native(market), now_us // 1_000
        opening = f'{{"time":{now_ms // 1_000},"time_ms":{now_ms},"channel":"{channel}","event":"update"'
        return [f'{opening},"result":{_trade(market, native, trade)}}}'.encode() for trade in trades]

    def rest(self, path: str, params: Mapping[str, str], now_us: int) -> Answer:
        name = path.removeprefix("/api/v4/spot/")
        if name not in _REST:
            raise Refused(Answer(b"404 page not found", 404))
        self._count(name, now_us)
        return Answer(encode(_REST[name](self, params, now_us)))

    def _count(self, name: str, now_us: int) -> None:
        """Raises Refused above the rate limit."""
        with self._lock:
            asked_us = self._asked_us[name]
            if len(asked_us) == _REQUESTS and now_us - asked_us[0] < _REQUESTS_WITHIN_US:
                raise _refused("TOO_MANY_REQUESTS", "Request Rate limit Exceeded (311)", 429)
            asked_us.append(now_us)

    def _market(self, params: Mapping[str, str]) -> SimMarket:
        native = params.get("currency_pair")
        if not native:
            raise _refused("MISSING_REQUIRED_PARAM", "Missing required parameter: currency_pair")
        if native not in self.markets:
            unknown = next((asset for asset in native.split("_") if asset not in self._assets), None)
            if unknown is not None:
                raise _refused("INVALID_CURRENCY", f"Invalid currency {unknown}")
            raise _refused("INVALID_CURRENCY_PAIR", f"Invalid currency pair {native}")
        return self.markets[native]

    def currency_pairs(self, params: Mapping[str, str], now_us: int) -> list[dict[str, Any]]:
        return [_pair(native, market) for native, market in self.markets.items()]

    def currencies(self, params: Mapping[str, str], now_us: int) -> list[dict[str, Any]]:
        """All coins, traded here or not; a coin with its own chain has no address."""
        return [_currency(coin) for coin in sim_coins().values() if coin.is_traded]

    def tickers(self, params: Mapping[str, str], now_us: int) -> list[dict[str, str]]:
        """All markets, or the given one."""
        sims = {params["currency_pair"]: self._market(params)} if "currency_pair" in params else self.markets
        return [_ticker(native, sim, self.last_day(sim, now_us)) for native, sim in sims.items()]

    def candlesticks(self, params: Mapping[str, str], now_us: int) -> list[list[str]]:
        """Rows on the grid from ``from`` to ``to``, both included, or the ``limit`` newest."""
        market = self._market(params)
        minutes_each = _INTERVAL_MINUTES.get(params.get("interval", "30m"))
        if minutes_each is None:
            raise _wrong(f"Invalid interval {params['interval']}")
        each_s, now_s = minutes_each * 60, now_us // SECOND_US
        start_s, end_s, limit = (_number(params, name) for name in ("from", "to", "limit"))
        if limit is not None and (start_s is not None or end_s is not None):
            raise _wrong("limit conflicts with from and to")
        end_s = now_s if end_s is None else end_s
        start_s = end_s - ((limit or _DEFAULT_ROWS) - 1) * each_s if start_s is None else start_s
        first, last = start_s // each_s, end_s // each_s
        if last - first + 1 > _MOST_ROWS:
            raise _wrong(
                f"Candlestick range too broad. Maximum {_MOST_ROWS} data points are allowed per request"
            )
        if first < now_s // each_s - _CANDLES_KEPT:
            raise _wrong(f"Candlestick too long ago. Maximum {_CANDLES_KEPT} points ago are allowed")
        candles = self.history.candles(
            market, minutes_each, first * minutes_each, last * minutes_each, now_us
        )
        return [_candle(market, row, each_s, now_s) for row in table(market, candles)]

    def trades(self, params: Mapping[str, str], now_us: int) -> list[dict[str, str]]:
        """Newest first: the latest, or those with an id below ``last_id`` with ``reverse``."""
        market, native = self._market(params), params["currency_pair"]
        limit, last_id = _number(params, "limit"), _number(params, "last_id")
        if limit is not None and not 1 <= limit <= _MOST_ROWS:
            raise _wrong(f"limit should be between 1 and {_MOST_ROWS}")
        newest = self.history.last_id(market, now_us)
        oldest = 1
        if last_id is not None and params.get("reverse") == "true":
            newest = min(newest, last_id - 1)
        elif last_id is not None:
            oldest = last_id + 1
        oldest = max(newest - (limit or _DEFAULT_ROWS) + 1, oldest)
        oldest_first = rows(self.history.trades(market, oldest, newest))
        return [_rest_trade(market, native, trade) for trade in reversed(oldest_first)]


_REST = {
    "currencies": Gateio.currencies,
    "currency_pairs": Gateio.currency_pairs,
    "tickers": Gateio.tickers,
    "candlesticks": Gateio.candlesticks,
    "trades": Gateio.trades,
}


def _currency(coin: SimCoin) -> dict[str, Any]:
    name, address = coin.platform or (coin.symbol, "")
    chain = {"name": name[:3].upper(), "addr": address, "deposit_disabled": False, "withdraw_disabled": False}
    return {"currency": coin.symbol, "name": coin.name, "delisted": False, "chains": [chain]}


class _Request(msgspec.Struct):
    channel: str
    event: str = ""
    payload: list[str] = []


class _GateioSession(Session):
    def __init__(self, venue: Gateio, stream: Stream) -> None:
        super().__init__(stream)
        self._venue = venue
        self._pairs: set[str] = set()

    def receive(self, text: str, now_us: int) -> list[bytes]:
        times = {"time": now_us // SECOND_US, "time_ms": now_us // 1_000, "conn_id": "b2c2b0629e0c34a3"}
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.DecodeError:
            problem = {"code": 1, "message": "Invalid request body format"}
            return [encode({**times, "channel": "", "event": "", "error": problem, "result": None})]
        if request.channel == "spot.ping":
            return [encode({**times, "channel": "spot.pong", "event": "", "result": None})]
        answer = {
            **times,
            "channel": request.channel,
            "event": request.event,
            "payload": request.payload,
        }
        problem_text = self._problem(request)
        if problem_text is not None:
            problem = {"code": 2, "message": problem_text}
            return [encode({**answer, "error": problem, "result": {"status": "fail"}})]
        for native in request.payload:
            market = self._venue.markets[native]
            if request.event == "unsubscribe" and native in self._pairs:
                self._pairs.discard(native)
                self.stream.leave(request.channel, market)
            elif request.event == "subscribe" and native not in self._pairs:
                self._pairs.add(native)
                self.stream.join(request.channel, market)
        return [encode({**answer, "result": {"status": "success"}})]

    def _problem(self, request: _Request) -> str | None:
        """The reason to refuse the whole request, or None."""
        if request.channel != "spot.trades":
            return f"Unknown channel {request.channel}"
        if request.event not in ("subscribe", "unsubscribe"):
            return f"Unknown event {request.event}"
        unknown = next((native for native in request.payload if native not in self._venue.markets), None)
        return None if unknown is None else f"unknown currency pair: {unknown}"


def _trade(market: SimMarket, native: str, trade: Row) -> str:
    number = trade.trade_id
    return (
        f'{{"id":{number},"id_market":{number},"create_time":{trade.ts_us // SECOND_US},'
        f'"create_time_ms":"{_milliseconds(trade)}","side":"{_side(trade)}","currency_pair":"{native}",'
        f'"amount":"{_amount(market, trade)}","price":"{_price(market, trade)}",'
        f'"range":"{number}-{number}"}}'
    )


def _rest_trade(market: SimMarket, native: str, trade: Row) -> dict[str, str]:
    return {
        "id": str(trade.trade_id),
        "create_time": str(trade.ts_us // SECOND_US),
        "create_time_ms": _milliseconds(trade),
        "currency_pair": native,
        "side": _side(trade),
        "amount": _amount(market, trade),
        "price": _price(market, trade),
        "sequence_id": str(trade.trade_id),
    }


def _milliseconds(trade: Row) -> str:
    return f"{trade.ts_us // 1_000}.{trade.ts_us % 1_000:03d}000"


def _side(trade: Row) -> str:
    return "buy" if trade.taker_buys else "sell"


def _amount(market: SimMarket, trade: Row) -> str:
    return f"{trade.amount:.{market.amount_decimals}f}"


def _price(market: SimMarket, trade: Row) -> str:
    return f"{trade.price:.{market.price_decimals}f}"


def _candle(market: SimMarket, row: dict[str, Any], each_s: int, now_s: int) -> list[str]:
    """Time, quote volume, close, high, low, open, volume, closed."""
    open_s, digits = row["minute"] * 60, market.price_decimals
    return [
        str(open_s),
        f"{row['quote_volume']:.8f}",
        *(f"{row[name]:.{digits}f}" for name in ("close", "high", "low", "open")),
        f"{row['volume']:.8f}",
        "true" if open_s + each_s <= now_s else "false",
    ]


def _ticker(native: str, market: SimMarket, day: Day) -> dict[str, str]:
    prices = {"last": day.last, "high_24h": day.high, "low_24h": day.low}
    return {
        "currency_pair": native,
        **{name: f"{price:.{market.price_decimals}f}" for name, price in prices.items()},
        "base_volume": f"{day.volume:.8f}",
        "quote_volume": f"{day.quote_volume:.8f}",
    }


def _pair(native: str, market: SimMarket) -> dict[str, Any]:
    return {
        "id": native,
        "base": market.market.symbol.base,
        "quote": market.market.symbol.quote,
        "fee": "0.2",
        "min_quote_amount": "1",
        "amount_precision": market.amount_decimals,
        "precision": market.price_decimals,
        "trade_status": "tradable",
        "sell_start": GENESIS_MINUTE * 60,
        "buy_start": GENESIS_MINUTE * 60,
    }


def _number(params: Mapping[str, str], name: str) -> int | None:
    if name not in params:
        return None
    number = whole(params[name])
    if number is None:
        raise _wrong(f"Invalid request parameter `{name}` value: {params[name]}")
    return number


def _wrong(problem: str) -> Refused:
    return _refused("INVALID_PARAM_VALUE", problem)


def _refused(label: str, problem: str, status: int = 400) -> Refused:
    return Refused(Answer(encode({"label": label, "message": problem}), status))
