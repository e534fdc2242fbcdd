"""OKX v5 spot: websocket ``trades-all``, REST api/v5."""

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
from simulator.truth import GENESIS_MINUTE

_CHANNEL = "trades-all"
_BAR_MINUTES = {
    **{f"{minutes}m": minutes for minutes in (1, 3, 5, 15, 30)},
    **{f"{hours}H": hours * 60 for hours in (1, 2, 4)},
    "1Dutc": 1_440,
}
_MOST_ROWS, _MOST_CANDLES = 100, 300
_CONNECTION = "a4d3ae55"


class Okx(Venue):
    name: ClassVar[str] = "okx"

    def native(self, market: SimMarket) -> str:
        """``BTC-USDT``"""
        return str(market.market.symbol)

    def session(self, path: str, params: Mapping[str, str], stream: Stream) -> Session | None:
        return _OkxSession(self, stream) if path == "/ws/v5/business" else None

    def frames(self, channel: str, market: SimMarket, trades: Sequence[Row], now_us: int) -> list[bytes]:
        """One frame per trade."""
        native = self.native(market)
        opening = f'{{"arg":{{"channel":"{channel}","instId":"{native}"}},"data":'
        return [opening.encode() + encode([_trade(native, market, trade)]) + b"}" for trade in trades]

    def shutdown(self, now_us: int) -> bytes:
        return encode(
            {
                "event": "notice",
                "code": "64008",
                "msg": "The connection will soon be closed for a service upgrade. Please reconnect.",
                "connId": _CONNECTION,
            }
        )

    def rest(self, path: str, params: Mapping[str, str], now_us: int) -> Answer:
        match path.removeprefix("/api/v5/"):
            case "public/instruments":
                result: list[Any] = [_pair(native, market) for native, market in self.markets.items()]
            case "market/tickers":
                result = [
                    _ticker(native, sim, self.last_day(sim, now_us)) for native, sim in self.markets.items()
                ]
            case "market/history-candles":
                result = self._candles(params, now_us)
            case "market/history-trades":
                result = self._trades(params, now_us)
            case _:
                raise Refused(_answer("404", "Not found", [], 404))
        return _answer("0", "", result)

    def _market(self, params: Mapping[str, str]) -> SimMarket:
        market = self.markets.get(params.get("instId", ""))
        if market is None:
            raise _refused("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        return market

    def _candles(self, params: Mapping[str, str], now_us: int) -> list[list[str]]:
        """Those later than ``before`` and earlier than ``after``, the newest first."""
        market = self._market(params)
        each = _BAR_MINUTES.get(params.get("bar", "1m"))
        limit = whole(params.get("limit", str(_MOST_ROWS)), 1)
        after, before = whole(params.get("after", str(now_us))), whole(params.get("before", "0"))
        if each is None:
            raise _refused("51000", "Parameter bar error")
        if limit is None or after is None or before is None:
            raise _refused("51000", "Parameter limit error")
        each_ms = each * 60_000
        last = min((after - 1) // each_ms, now_us // 1_000 // each_ms)
        first = max(before // each_ms + 1, last - min(limit, _MOST_CANDLES) + 1)
        candles = self.history.candles(market, each, first * each, last * each, now_us)
        return [_candle(market, row, each, now_us) for row in reversed(table(market, candles))]

    def _trades(self, params: Mapping[str, str], now_us: int) -> list[dict[str, str]]:
        """Those with an id below ``after``, newest first."""
        market = self._market(params)
        limit = whole(params.get("limit", str(_MOST_ROWS)), 1)
        if limit is None or params.get("type", "1") != "1":
            raise _refused("51000", "Parameter limit or type error")
        newest = self.history.last_id(market, now_us)
        if "after" in params:
            after = whole(params["after"])
            if after is None:
                raise _refused("51000", "Parameter after error")
            newest = min(newest, after - 1)
        oldest_first = rows(self.history.last_trades(market, min(limit, _MOST_ROWS), newest))
        return [_trade(self.native(market), market, trade) for trade in reversed(oldest_first)]


class _Argument(msgspec.Struct, rename="camel"):
    channel: str
    inst_id: str


class _Request(msgspec.Struct):
    op: str
    args: list[_Argument]


class _OkxSession(Session):
    def __init__(self, venue: Okx, stream: Stream) -> None:
        super().__init__(stream)
        self._venue = venue
        self._pairs: set[str] = set()

    def receive(self, text: str, now_us: int) -> list[bytes]:
        if text == "ping":
            return [b"pong"]
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.DecodeError:
            return [_error("60012", f"Invalid request: {text}")]
        if request.op not in ("subscribe", "unsubscribe"):
            return [_error("60012", f"Invalid request: {text}")]
        return [self._change(request.op, argument) for argument in request.args]

    def _change(self, op: str, argument: _Argument) -> bytes:
        market = self._venue.markets.get(argument.inst_id)
        if market is None or argument.channel != _CHANNEL:
            return _error(
                "60018",
                f"Wrong URL or channel:{argument.channel},instId:{argument.inst_id} doesn't exist. "
                "Please use the correct URL, channel and parameters referring to API document.",
            )
        if op == "subscribe" and argument.inst_id not in self._pairs:
            self._pairs.add(argument.inst_id)
            self.stream.join(_CHANNEL, market)
        elif op == "unsubscribe" and argument.inst_id in self._pairs:
            self._pairs.discard(argument.inst_id)
            self.stream.leave(_CHANNEL, market)
        return encode({"event": op, "arg": argument, "connId": _CONNECTION})


def _error(code: str, message: str) -> bytes:
    return encode({"event": "error", "msg": message, "code": code, "connId": _CONNECTION})


def _answer(code: str, message: str, data: list[Any], status: int = 200) -> Answer:
    return Answer(encode({"code": code, "msg": message, "data": data}), status)


def _refused(code: str, message: str) -> Refused:
    """Errors come with HTTP status 200."""
    return Refused(_answer(code, message, []))


def _trade(native: str, market: SimMarket, trade: Row) -> dict[str, str]:
    return {
        "instId": native,
        "tradeId": str(trade.trade_id),
        "px": f"{trade.price:.{market.price_decimals}f}",
        "sz": f"{trade.amount:.{market.amount_decimals}f}",
        "side": "buy" if trade.taker_buys else "sell",
        "ts": str(trade.ts_us // 1_000),
    }


def _candle(market: SimMarket, row: dict[str, Any], each: int, now_us: int) -> list[str]:
    """Start, open, high, low, close, volume, volume in quote twice, whether it is closed."""
    open_ms = row["minute"] * 60_000
    prices = (f"{row[name]:.{market.price_decimals}f}" for name in ("open", "high", "low", "close"))
    volumes = (f"{row[name]:.8f}" for name in ("volume", "quote_volume", "quote_volume"))
    closed = open_ms + each * 60_000 <= now_us // 1_000
    return [str(open_ms), *prices, *volumes, "1" if closed else "0"]


def _ticker(native: str, market: SimMarket, day: Day) -> dict[str, str]:
    prices = {"last": day.last, "open24h": day.open, "high24h": day.high, "low24h": day.low}
    return {
        "instType": "SPOT",
        "instId": native,
        **{name: f"{price:.{market.price_decimals}f}" for name, price in prices.items()},
        "volCcy24h": f"{day.quote_volume:.8f}",
        "vol24h": f"{day.volume:.8f}",
    }


def _pair(native: str, market: SimMarket) -> dict[str, str]:
    return {
        "baseCcy": market.market.symbol.base,
        "instId": native,
        "instType": "SPOT",
        "listTime": str(GENESIS_MINUTE * 60_000),
        "lotSz": f"{market.amount_step:.{market.amount_decimals}f}",
        "quoteCcy": market.market.symbol.quote,
        "state": "live",
        "tickSz": f"{market.price_step:.{market.price_decimals}f}",
    }
