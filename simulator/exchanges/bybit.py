"""Bybit v5 spot: websocket ``publicTrade``, REST v5/market."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

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

_TOPIC = "publicTrade."
_INTERVAL_MINUTES = {
    **{str(minutes): minutes for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": 1_440,
}
_MOST_CANDLES, _DEFAULT_CANDLES = 1_000, 200
_MOST_TRADES = 60
_MOST_ARGS = 10
_CONNECTION = "d9avt8shteepr00gfc1g-4zd1x"


class Bybit(Venue):
    name: ClassVar[str] = "bybit"

    def native(self, market: SimMarket) -> str:
        """``BTCUSDT``"""
        return f"{market.market.symbol.base}{market.market.symbol.quote}"

    def session(self, path: str, params: Mapping[str, str], stream: Stream) -> Session | None:
        return _BybitSession(self, stream) if path == "/v5/public/spot" else None

    def frames(self, channel: str, market: SimMarket, trades: Sequence[Row], now_us: int) -> list[bytes]:
        """Trades at one time share a frame."""
        native = self.native(market)
        listed = ",".join(
            f'{{"i":"{trade.trade_id}","T":{trade.ts_us // 1_000},"p":"{_price(market, trade)}",'
            f'"v":"{_amount(market, trade)}","S":"{_side(trade)}","seq":{trade.trade_id},"s":"{native}",'
            f'"BT":false,"RPI":false}}'
            for trade in trades
        )
        opening = f'{{"topic":"{channel}","ts":{now_us // 1_000},"type":"snapshot"'
        return [f'{opening},"data":[{listed}]}}'.encode()]

    def rest(self, path: str, params: Mapping[str, str], now_us: int) -> Answer:
        if params.get("category") != "spot":
            raise _refused(10001, "Illegal category", now_us)
        match path:
            case "/v5/market/instruments-info":
                result: dict[str, Any] = {
                    "list": [_pair(native, sim) for native, sim in self.markets.items()]
                }
            case "/v5/market/tickers":
                sims = self.markets.items()
                result = {"list": [_ticker(native, sim, self.last_day(sim, now_us)) for native, sim in sims]}
            case "/v5/market/kline":
                result = {"symbol": params.get("symbol"), "list": self._kline(params, now_us)}
            case "/v5/market/recent-trade":
                result = {"list": self._recent(params, now_us)}
            case _:
                raise Refused(Answer(b"404 page not found", 404))
        return _answer(0, "OK", {"category": "spot", **result}, now_us)

    def _market(self, params: Mapping[str, str], now_us: int) -> SimMarket:
        if params.get("symbol") not in self.markets:
            raise _refused(10001, "Not supported symbols", now_us)
        return self.markets[params["symbol"]]

    def _kline(self, params: Mapping[str, str], now_us: int) -> list[list[str]]:
        """The newest ``limit`` candles that open from ``start`` to ``end``, newest first."""
        market = self._market(params, now_us)
        each = _INTERVAL_MINUTES.get(params.get("interval", ""))
        limit = whole(params.get("limit", str(_DEFAULT_CANDLES)), 1)
        if each is None:
            raise _refused(10001, "Invalid period!", now_us)
        if limit is None or limit > _MOST_CANDLES:
            raise _refused(10001, "params error: limit invalid", now_us)
        start_ms, end_ms = whole(params.get("start", "0")), whole(params.get("end", str(now_us // 1_000)))
        if start_ms is None or end_ms is None:
            raise _refused(10001, "params error: start or end invalid", now_us)
        each_ms = each * 60_000
        last = min(end_ms, now_us // 1_000) // each_ms
        first = max(-(-start_ms // each_ms), last - limit + 1)
        candles = self.history.candles(market, each, first * each, last * each, now_us)
        return [_candle(market, row) for row in reversed(table(market, candles))]

    def _recent(self, params: Mapping[str, str], now_us: int) -> list[dict[str, Any]]:
        """The newest 60 at most, newest first."""
        market = self._market(params, now_us)
        limit = whole(params.get("limit", str(_MOST_TRADES)), 1)
        if limit is None or limit > _MOST_TRADES:
            limit = _MOST_TRADES
        newest = self.history.last_id(market, now_us)
        oldest_first = rows(self.history.last_trades(market, limit, newest))
        return [_trade(self.native(market), market, trade) for trade in reversed(oldest_first)]


class _Request(msgspec.Struct):
    op: str
    args: list[str] = []
    req_id: str | None = None


class _BybitSession(Session):
    def __init__(self, venue: Bybit, stream: Stream) -> None:
        super().__init__(stream)
        self._venue = venue
        self._topics: set[str] = set()

    def receive(self, text: str, now_us: int) -> list[bytes]:
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.DecodeError:
            return [_answer_text("", "Request params invalid", success=False)]
        if request.op == "ping":
            return [_answer_text("ping", "pong")]
        problem = self._problem(request)
        if problem is not None:
            return [_answer_text(request.op, problem, success=False)]
        for topic in request.args:
            market = self._venue.markets[topic.removeprefix(_TOPIC)]
            if request.op == "subscribe" and topic not in self._topics:
                self._topics.add(topic)
                self.stream.join(topic, market)
            elif request.op == "unsubscribe" and topic in self._topics:
                self._topics.discard(topic)
                self.stream.leave(topic, market)
        return [_answer_text(request.op, request.op)]

    def _problem(self, request: _Request) -> str | None:
        """The reason to refuse the whole request, or None."""
        if request.op not in ("subscribe", "unsubscribe"):
            return f"error:unknown op {request.op}"
        if len(request.args) > _MOST_ARGS:
            return f"args size >{_MOST_ARGS}"
        for topic in request.args:
            known = topic.startswith(_TOPIC) and topic.removeprefix(_TOPIC) in self._venue.markets
            if not known:
                return f"Invalid symbol :[{topic}]"
            if request.op == "subscribe" and topic in self._topics:
                return f"error:already subscribed,topic:{topic}"
        return None


def _answer_text(op: str, message: str, *, success: bool = True) -> bytes:
    return encode({"success": success, "ret_msg": message, "conn_id": _CONNECTION, "op": op})


def _answer(code: int, message: str, result: dict[str, Any], now_us: int) -> Answer:
    answer = {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now_us // 1_000}
    return Answer(encode(answer))


def _refused(code: int, message: str, now_us: int) -> Refused:
    """Errors come with HTTP status 200."""
    return Refused(_answer(code, message, {}, now_us))


def _price(market: SimMarket, trade: Row) -> str:
    return f"{trade.price:.{market.price_decimals}f}"


def _amount(market: SimMarket, trade: Row) -> str:
    return f"{trade.amount:.{market.amount_decimals}f}"


def _side(trade: Row) -> str:
    return "Buy" if trade.taker_buys else "Sell"


def _trade(native: str, market: SimMarket, trade: Row) -> dict[str, Any]:
    return {
        "execId": str(trade.trade_id),
        "symbol": native,
        "price": _price(market, trade),
        "size": _amount(market, trade),
        "side": _side(trade),
        "time": str(trade.ts_us // 1_000),
        "isBlockTrade": False,
    }


def _candle(market: SimMarket, row: dict[str, Any]) -> list[str]:
    """Start, open, high, low, close, volume, turnover."""
    prices = (f"{row[name]:.{market.price_decimals}f}" for name in ("open", "high", "low", "close"))
    volumes = (f"{row[name]:.8f}" for name in ("volume", "quote_volume"))
    return [str(row["minute"] * 60_000), *prices, *volumes]


def _ticker(native: str, market: SimMarket, day: Day) -> dict[str, str]:
    prices = {
        "lastPrice": day.last,
        "prevPrice24h": day.open,
        "highPrice24h": day.high,
        "lowPrice24h": day.low,
    }
    return {
        "symbol": native,
        **{name: f"{price:.{market.price_decimals}f}" for name, price in prices.items()},
        "turnover24h": f"{day.quote_volume:.8f}",
        "volume24h": f"{day.volume:.8f}",
    }


def _pair(native: str, market: SimMarket) -> dict[str, Any]:
    return {
        "symbol": native,
        "baseCoin": market.market.symbol.base,
        "quoteCoin": market.market.symbol.quote,
        "innovation": "0",
        "status": "Trading",
        "lotSizeFilter": {"basePrecision": f"{market.amount_step:.{market.amount_decimals}f}"},
        "priceFilter": {"tickSize": f"{market.price_step:.{market.price_decimals}f}"},
    }
