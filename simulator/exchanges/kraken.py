"""Kraken spot: websocket v2 ``trade``, REST 0/public."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from coinwatch.records import Market
from coinwatch.times import SECOND_US, to_datetime
from simulator.exchanges.base import (
    Answer,
    Day,
    Refused,
    Row,
    Session,
    Stream,
    Venue,
    encode,
    iso,
    rows,
    table,
    whole,
)
from simulator.hashing import bits, seed_of, words
from simulator.history import History
from simulator.markets import SimMarket

_OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
_CLASSED = {
    **{name: f"X{name}" for name in ("XBT", "XDG", "ETH", "XRP", "LTC")},
    **{name: f"Z{name}" for name in ("USD", "EUR")},
}
"""Assets listed before 2017 carry their class in front: X for crypto, Z for money."""
_INTERVALS = (1, 5, 15, 30, 60, 240, 1_440)
_CANDLES_KEPT = 720
_MOST_TRADES = 1_000
_SNAPSHOT = 50
_TAKER_FEES = [[0, 0.26], [50_000, 0.24], [100_000, 0.22], [250_000, 0.2], [500_000, 0.18]]
_MAKER_FEES = [[0, 0.16], [50_000, 0.14], [100_000, 0.12], [250_000, 0.1], [500_000, 0.08]]
_NS_DIGITS = 10**15
"""A smaller ``since`` is in seconds."""


class Kraken(Venue):
    name: ClassVar[str] = "kraken"

    def __init__(self, markets: Mapping[Market, SimMarket], history: History) -> None:
        super().__init__(markets, history)
        self._pairs = {_pair_key(market): market for market in self.markets.values()}
        self._by_any_name = {
            name: key
            for key, market in self._pairs.items()
            for name in (key, _altname(market), _wsname(market), self.native(market))
        }

    def native(self, market: SimMarket) -> str:
        """``BTC/USD``"""
        return f"{market.market.symbol.base}/{market.market.symbol.quote}"

    def session(self, path: str, params: Mapping[str, str], stream: Stream) -> Session | None:
        return _KrakenSession(self, stream) if path in ("", "/") else None

    def frames(self, channel: str, market: SimMarket, trades: Sequence[Row], now_us: int) -> list[bytes]:
        return [self.trade_frame("update", market, trades)]

    def trade_frame(self, kind: str, market: SimMarket, trades: Sequence[Row]) -> bytes:
        """Numbers, not strings, with trailing zeros to the market's steps."""
        native, digits = self.native(market), market.price_decimals
        listed = ",".join(
            f'{{"symbol":"{native}","side":"{"buy" if trade.taker_buys else "sell"}",'
            f'"price":{trade.price:.{digits}f},"qty":{trade.amount:.8f},'
            f'"ord_type":"{_order_type(trade)}","trade_id":{trade.trade_id},'
            f'"timestamp":"{iso(trade.ts_us)}"}}'
            for trade in trades
        )
        return f'{{"channel":"trade","type":"{kind}","data":[{listed}]}}'.encode()

    def rest(self, path: str, params: Mapping[str, str], now_us: int) -> Answer:
        name = path.removeprefix("/0/public/")
        try:
            match name:
                case "Time":
                    seconds = now_us // SECOND_US
                    moment = to_datetime(seconds * SECOND_US).strftime("%a, %d %b %y %H:%M:%S +0000")
                    result: object = {"unixtime": seconds, "rfc1123": moment}
                case "AssetPairs":
                    result = self._asset_pairs(params)
                case "Ticker":
                    result = self._tickers(params, now_us)
                case "OHLC":
                    result = self._ohlc(params, now_us)
                case "Trades":
                    result = self._trades(params, now_us)
                case _:
                    raise _Wrong("EGeneral:Unknown method")
        except _Wrong as wrong:
            raise Refused(Answer(encode({"error": [str(wrong)]}))) from None
        return Answer(encode({"error": [], "result": result}))

    def _pair(self, params: Mapping[str, str]) -> str:
        if not params.get("pair"):
            raise _Wrong("EGeneral:Invalid arguments")
        key = self._by_any_name.get(params["pair"].upper())
        if key is None:
            raise _Wrong("EQuery:Unknown asset pair")
        return key

    def _asset_pairs(self, params: Mapping[str, str]) -> dict[str, Any]:
        if "pair" not in params:
            return {key: _asset_pair(market) for key, market in self._pairs.items()}
        keys = [self._pair({"pair": name}) for name in params["pair"].split(",")]
        return {key: _asset_pair(self._pairs[key]) for key in keys}

    def _tickers(self, params: Mapping[str, str], now_us: int) -> dict[str, Any]:
        """All pairs, or the given ones."""
        named = params["pair"].split(",") if params.get("pair") else self._pairs
        keys = [self._pair({"pair": name}) for name in named]
        return {key: _ticker(self._pairs[key], self.last_day(self._pairs[key], now_us)) for key in keys}

    def _ohlc(self, params: Mapping[str, str], now_us: int) -> dict[str, Any]:
        """At most the newest 720 candles and the open one; ``since`` is exclusive."""
        key = self._pair(params)
        market = self._pairs[key]
        each = whole(params.get("interval", "1"))
        since = whole(params.get("since", "0"))
        if each not in _INTERVALS or since is None:
            raise _Wrong("EGeneral:Invalid arguments")
        open_minute = now_us // SECOND_US // 60 // each * each
        candles = self.history.candles(market, each, open_minute - _CANDLES_KEPT * each, open_minute, now_us)
        listed = [_ohlc_row(market, row) for row in table(market, candles)]
        return {
            key: [msgspec.Raw(row) for minute, row in listed if minute * 60 > since],
            "last": (open_minute - each) * 60,
        }

    def _trades(self, params: Mapping[str, str], now_us: int) -> dict[str, Any]:
        """Trades later than ``since`` (nanoseconds), oldest first; the newest ones without it."""
        key = self._pair(params)
        market = self._pairs[key]
        count = whole(params.get("count", str(_MOST_TRADES)), 1)
        since = whole(params["since"]) if params.get("since") else None
        if count is None or (params.get("since") and since is None):
            raise _Wrong("EGeneral:Invalid arguments")
        count = min(count, _MOST_TRADES)
        newest = self.history.last_id(market, now_us)
        if since is None:
            listed = rows(self.history.last_trades(market, count, newest))
        else:
            since_ns = since if since >= _NS_DIGITS else since * 1_000_000_000
            listed = self._trades_after(market, since_ns, count, newest)
        last_ns = _nanoseconds(listed[-1].ts_us) if listed else since or now_us * 1_000
        return {
            key: [msgspec.Raw(_trade_row(trade, max(5, market.price_decimals))) for trade in listed],
            "last": str(last_ns),
        }

    def _trades_after(self, market: SimMarket, since_ns: int, count: int, newest: int) -> list[Row]:
        since_us = since_ns // 1_000
        if _nanoseconds(since_us) <= since_ns:  # all trades of that microsecond are past
            since_us += 1
        first = self.history.first_id_from(market, since_us)
        return rows(self.history.trades(market, first, min(first + count - 1, newest)))


class _Params(msgspec.Struct):
    channel: str | None = None
    symbol: list[str] = []
    snapshot: bool = True


class _Request(msgspec.Struct):
    method: str
    params: _Params | None = None
    req_id: int | None = None


class _KrakenSession(Session):
    def __init__(self, venue: Kraken, stream: Stream) -> None:
        super().__init__(stream)
        self._venue = venue
        self._symbols: set[str] = set()

    def opening(self, now_us: int) -> list[bytes]:
        system = {"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": now_us}
        return [encode({"channel": "status", "type": "update", "data": [system]})]

    def heartbeats(self, now_us: int, *, idle: bool) -> list[bytes]:
        return [b'{"channel":"heartbeat"}'] if idle and self._symbols else []

    def receive(self, text: str, now_us: int) -> list[bytes]:
        times = {"time_in": iso(now_us), "time_out": iso(now_us + 60)}
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.DecodeError:
            return [encode({"error": "Malformed request", "success": False, **times})]
        asked = {} if request.req_id is None else {"req_id": request.req_id}
        if request.method == "ping":
            return [encode({"method": "pong", **asked, **times})]
        params = request.params or _Params()
        known = request.method in ("subscribe", "unsubscribe")
        if not known or params.channel != "trade" or not params.symbol:
            problem = "Channel not supported" if known and params.symbol else "Malformed request"
            refusal = {"error": problem, "method": request.method, "success": False}
            return [encode({**refusal, **times, **asked})]
        frames = []
        for symbol in params.symbol:
            frames += self._change(request.method, symbol, times, asked, snapshot=params.snapshot)
        return frames

    def _change(
        self, method: str, symbol: str, times: dict[str, str], asked: dict[str, int], *, snapshot: bool
    ) -> list[bytes]:
        """Subscribe or unsubscribe one symbol."""
        market = self._venue.markets.get(symbol)
        problem = None
        if market is None:
            problem = f"Currency pair not supported {symbol}"
        elif method == "subscribe" and symbol in self._symbols:
            problem = "Already subscribed"
        elif method == "unsubscribe" and symbol not in self._symbols:
            problem = "Subscription Not Found"
        if market is None or problem:
            refusal = {"error": problem, "method": method, "success": False, "symbol": symbol}
            return [encode({**refusal, **times, **asked})]
        result: dict[str, Any] = {"channel": "trade", "symbol": symbol}
        if method == "unsubscribe":
            self._symbols.discard(symbol)
            self.stream.leave("trade", market)
            return [encode({"method": method, "result": result, "success": True, **times, **asked})]
        self._symbols.add(symbol)
        last_id = self.stream.join("trade", market)
        result["snapshot"] = snapshot
        frames = [encode({"method": method, "result": result, "success": True, **times, **asked})]
        past = rows(self._venue.history.last_trades(market, _SNAPSHOT, last_id)) if snapshot else []
        return [*frames, self._venue.trade_frame("snapshot", market, past)] if past else frames


class _Wrong(Exception):
    """An error in Kraken's format."""


def _old(asset: str) -> str:
    return _OLD_NAMES.get(asset, asset)


def _altname(market: SimMarket) -> str:
    """``XBTUSD``"""
    return f"{_old(market.market.symbol.base)}{_old(market.market.symbol.quote)}"


def _wsname(market: SimMarket) -> str:
    """``XBT/USD``"""
    return f"{_old(market.market.symbol.base)}/{_old(market.market.symbol.quote)}"


def _ticker(market: SimMarket, day: Day) -> dict[str, Any]:
    """Pairs are of today and of 24 hours: here both are of 24 hours."""
    last, low, high, opened = (
        f"{x:.{market.price_decimals}f}" for x in (day.last, day.low, day.high, day.open)
    )
    mean = f"{day.quote_volume / day.volume if day.volume else day.last:.5f}"
    quoted = [last, "1", "1.000"]
    return {
        "a": quoted,
        "b": quoted,
        "c": [last, "1.00000000"],
        "v": [f"{day.volume:.8f}"] * 2,
        "p": [mean] * 2,
        "t": [day.trades] * 2,
        "l": [low] * 2,
        "h": [high] * 2,
        "o": opened,
    }


def _pair_key(market: SimMarket) -> str:
    """``XXBTZUSD`` where both assets carry a class, else as the altname; XDGUSD never got its own."""
    base, quote = _old(market.market.symbol.base), _old(market.market.symbol.quote)
    if base in _CLASSED and quote in _CLASSED and base != "XDG":
        return _CLASSED[base] + _CLASSED[quote]
    return base + quote


def _asset_pair(market: SimMarket) -> dict[str, Any]:
    base, quote = _old(market.market.symbol.base), _old(market.market.symbol.quote)
    return {
        "altname": _altname(market),
        "wsname": _wsname(market),
        "aclass_base": "currency",
        "base": _CLASSED.get(base, base),
        "aclass_quote": "currency",
        "quote": _CLASSED.get(quote, quote),
        "lot": "unit",
        "pair_decimals": market.price_decimals,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": _TAKER_FEES,
        "fees_maker": _MAKER_FEES,
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": f"{market.amount_step:.{market.amount_decimals}f}",
    }


def _order_type(trade: Row) -> str:
    return "limit" if trade.trade_id % 3 == 0 else "market"


def _ohlc_row(market: SimMarket, row: dict[str, Any]) -> tuple[int, bytes]:
    digits = market.price_decimals
    prices = ",".join(f'"{row[name]:.{digits}f}"' for name in ("open", "high", "low", "close"))
    average = f"{row['quote_volume'] / row['volume']:.{digits}f}" if row["trades"] else "0.0"
    text = f'[{row["minute"] * 60},{prices},"{average}","{row["volume"]:.8f}",{row["trades"]}]'
    return row["minute"], text.encode()


def _trade_row(trade: Row, digits: int) -> bytes:
    """``["105433.60000","0.00027625",1762795433.9717445,"b","l","",10218208]``"""
    seconds = _nanoseconds(trade.ts_us) / 1_000_000_000
    side, kind = "b" if trade.taker_buys else "s", _order_type(trade)[0]
    return (
        f'["{trade.price:.{digits}f}","{trade.amount:.8f}",{seconds!r},"{side}","{kind}","",{trade.trade_id}]'
    ).encode()


_NANOSECOND_SEED = seed_of("kraken nanoseconds")


def _nanoseconds(ts_us: int) -> int:
    """REST has finer trade times than the stream.

    The digits stay away from 0 and 1000, so that the seven decimals of the double that is sent still
    truncate to the same microsecond.
    """
    extra = int(bits(words(_NANOSECOND_SEED, np.array([ts_us])), 0)[0]) % 500 + 250
    return ts_us * 1_000 + extra
