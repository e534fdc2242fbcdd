"""Coinbase Exchange: the ``matches``, ``heartbeat`` and ``ticker`` channels, REST products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec

from coinwatch.times import SECOND_US, from_datetime
from simulator.exchanges.base import (
    Answer,
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
from simulator.markets import SimMarket

_GRANULARITIES_S = (60, 300, 900, 3_600, 21_600, 86_400)
_MOST_CANDLES = 300
_MOST_TRADES = 1_000
_CHANNELS = ("matches", "heartbeat", "ticker")
_SEQUENCE_STEP = 11
"""Order-book messages between two matches, so that sequences grow faster than trade ids."""


class Coinbase(Venue):
    name: ClassVar[str] = "coinbase"

    def native(self, market: SimMarket) -> str:
        """``BTC-USD``"""
        return str(market.market.symbol)

    def session(self, path: str, params: Mapping[str, str], stream: Stream) -> Session | None:
        return _CoinbaseSession(self, stream) if path in ("", "/") else None

    def frames(self, channel: str, market: SimMarket, trades: Sequence[Row], now_us: int) -> list[bytes]:
        if channel == "heartbeat":  # joined only to know the last trade
            return []
        if channel == "ticker":
            return [self.ticker(market, trades[-1])]
        return [self.match("match", market, trade) for trade in trades]

    def match(self, kind: str, market: SimMarket, trade: Row) -> bytes:
        """A trade; ``side`` is the maker's."""
        maker, taker = _order_ids(market, trade.trade_id)
        return (
            f'{{"type":"{kind}","trade_id":{trade.trade_id},"maker_order_id":"{maker}",'
            f'"taker_order_id":"{taker}","side":"{_maker_side(trade)}","size":"{_amount(market, trade)}",'
            f'"price":"{_price(market, trade.price)}","product_id":"{self.native(market)}",'
            f'"sequence":{trade.trade_id * _SEQUENCE_STEP},"time":"{iso(trade.ts_us)}"}}'
        ).encode()

    def ticker(self, market: SimMarket, trade: Row) -> bytes:
        """The last trade with the taker's side, without the day's figures."""
        step = market.price_step
        bid, ask = (
            (trade.price - step, trade.price) if trade.taker_buys else (trade.price, trade.price + step)
        )
        return encode(
            {
                "type": "ticker",
                "sequence": trade.trade_id * _SEQUENCE_STEP,
                "product_id": self.native(market),
                "price": _price(market, trade.price),
                "best_bid": _price(market, bid),
                "best_ask": _price(market, ask),
                "side": "buy" if trade.taker_buys else "sell",
                "time": iso(trade.ts_us),
                "trade_id": trade.trade_id,
                "last_size": _amount(market, trade),
            }
        )

    def heartbeat(self, native: str, last_id: int, now_us: int) -> bytes:
        return encode(
            {
                "type": "heartbeat",
                "sequence": last_id * _SEQUENCE_STEP + 3,
                "last_trade_id": last_id,
                "product_id": native,
                "time": iso(now_us),
            }
        )

    def rest(self, path: str, params: Mapping[str, str], now_us: int) -> Answer:
        parts = path.strip("/").split("/")
        if parts == ["time"]:
            return Answer(encode({"iso": iso(now_us)[:-4] + "Z", "epoch": now_us // 1_000 / 1_000}))
        if parts == ["products"]:
            return Answer(encode([_product(native, market) for native, market in self.markets.items()]))
        if parts == ["products", "stats"]:
            stats = {
                native: {"stats_24hour": self._stats(sim, now_us)} for native, sim in self.markets.items()
            }
            return Answer(encode(stats))
        if parts[0] != "products" or len(parts) > 3 or parts[1] not in self.markets:
            raise _refused("NotFound", 404)
        market = self.markets[parts[1]]
        match parts[2:]:
            case []:
                return Answer(encode(_product(parts[1], market)))
            case ["candles"]:
                return Answer(self._candles(market, params, now_us))
            case ["trades"]:
                return self._trades(market, params, now_us)
            case ["stats"]:
                return Answer(encode(self._stats(market, now_us)))
        raise _refused("NotFound", 404)

    def _candles(self, market: SimMarket, params: Mapping[str, str], now_us: int) -> bytes:
        """``[time, low, high, open, close, volume]``, newest first, without the open one."""
        each_s = whole(params.get("granularity", "60"))
        if each_s not in _GRANULARITIES_S:
            raise _refused("Unsupported granularity")
        end_s = _seconds(params, "end", now_us // SECOND_US)
        start_s = _seconds(params, "start", end_s - _MOST_CANDLES * each_s)
        if (end_s - start_s) // each_s > _MOST_CANDLES:
            raise _refused(
                "granularity too small for the requested time range. "
                f"Count of aggregations requested exceeds {_MOST_CANDLES}"
            )
        minutes_each = each_s // 60
        first = -(-start_s // each_s) * minutes_each
        last = min(end_s, now_us // SECOND_US - each_s) // each_s * minutes_each
        candles = self.history.candles(market, minutes_each, first, last, now_us)
        traded = [row for row in table(market, candles) if row["trades"]]
        names = ("low", "high", "open", "close", "volume")
        return encode(
            [[row["minute"] * 60, *(_shortest(row[name]) for name in names)] for row in reversed(traded)]
        )

    def _trades(self, market: SimMarket, params: Mapping[str, str], now_us: int) -> Answer:
        """Newest first; ``after`` pages to older trades, ``before`` keeps only newer ones."""
        limit, after, before = (_cursor(params, name) for name in ("limit", "after", "before"))
        if limit is not None and not 1 <= limit <= _MOST_TRADES:
            raise _refused(f"limit must be between 1 and {_MOST_TRADES}")
        newest = self.history.last_id(market, now_us)
        if after is not None:
            newest = min(newest, after - 1)
        oldest = max(newest - (limit or _MOST_TRADES) + 1, (before or 0) + 1, 1)
        trades = rows(self.history.trades(market, oldest, newest))
        body = [
            {
                "trade_id": trade.trade_id,
                "side": _maker_side(trade),
                "size": f"{trade.amount:.8f}",
                "price": f"{trade.price:.8f}",
                "time": iso(trade.ts_us),
            }
            for trade in reversed(trades)
        ]
        if not trades:
            return Answer(encode(body))
        cursors = {"cb-before": str(trades[-1].trade_id), "cb-after": str(trades[0].trade_id)}
        return Answer(encode(body), headers=cursors)

    def _stats(self, market: SimMarket, now_us: int) -> dict[str, str]:
        day = self.last_day(market, now_us)
        priced = {name: _price(market, getattr(day, name)) for name in ("open", "high", "low", "last")}
        return {**priced, "volume": f"{day.volume:.8f}"}


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str] = []


class _Request(msgspec.Struct):
    type: str
    product_ids: list[str] = []
    channels: list[str | _Channel] = []


class _CoinbaseSession(Session):
    def __init__(self, venue: Coinbase, stream: Stream) -> None:
        super().__init__(stream)
        self._venue = venue
        self._products: dict[str, dict[str, None]] = {}
        """Products by channel, in the order of subscription."""

    def receive(self, text: str, now_us: int) -> list[bytes]:
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.DecodeError:
            return [_failure("Malformed JSON")]
        if request.type not in ("subscribe", "unsubscribe"):
            return [_failure("Type has to be either subscribe or unsubscribe")]
        wanted = [_channel(request, channel) for channel in request.channels]
        for channel, products in wanted:
            if channel not in _CHANNELS:
                return [_failure("Failed to subscribe", f"{channel} is not a valid channel")]
            for product in products:
                if product not in self._venue.markets:
                    return [_failure("Failed to subscribe", f"{product} is not a valid product")]
        if not wanted or (request.type == "subscribe" and not all(products for _, products in wanted)):
            return [_failure("Failed to subscribe", "no channels or products were given")]
        frames = []
        for channel, products in wanted:
            if request.type == "subscribe":
                frames += self._subscribe(channel, products)
            else:
                self._unsubscribe(channel, products)
        return [*frames, self._subscriptions()]

    def heartbeats(self, now_us: int, *, idle: bool) -> list[bytes]:
        return [
            self._venue.heartbeat(native, self.stream.last_id(self._venue.markets[native]), now_us)
            for native in self._products.get("heartbeat", ())
        ]

    def _subscribe(self, channel: str, products: Sequence[str]) -> list[bytes]:
        frames = []
        known = self._products.setdefault(channel, {})
        for native in products:
            if native in known:
                continue
            known[native] = None
            market = self._venue.markets[native]
            last_id = self.stream.join(channel, market)
            if channel == "heartbeat":
                continue
            for trade in rows(self._venue.history.last_trades(market, 1, last_id)):
                if channel == "matches":
                    frames.append(self._venue.match("last_match", market, trade))
                else:
                    frames.append(self._venue.ticker(market, trade))
        return frames

    def _unsubscribe(self, channel: str, products: Sequence[str]) -> None:
        known = self._products.get(channel, {})
        for native in products or list(known):
            if native in known:
                del known[native]
                self.stream.leave(channel, self._venue.markets[native])
        if not known:
            self._products.pop(channel, None)

    def _subscriptions(self) -> bytes:
        channels = [
            {"name": channel, "product_ids": list(products)} for channel, products in self._products.items()
        ]
        return encode({"type": "subscriptions", "channels": channels})


def _channel(request: _Request, channel: str | _Channel) -> tuple[str, list[str]]:
    if isinstance(channel, str):
        return channel, request.product_ids
    return channel.name, channel.product_ids or request.product_ids


def _order_ids(market: SimMarket, trade_id: int) -> tuple[str, str]:
    """Two ids in the form of UUIDs, cheap to make."""
    tail = f"-4000-8000-{market.seed & 0xFFFF_FFFF_FFFF:012x}"
    return f"{trade_id & 0xFFFF_FFFF:08x}-a000{tail}", f"{trade_id & 0xFFFF_FFFF:08x}-b000{tail}"


def _maker_side(trade: Row) -> str:
    return "sell" if trade.taker_buys else "buy"


def _price(market: SimMarket, price: float) -> str:
    return f"{price:.{market.price_decimals}f}"


def _amount(market: SimMarket, trade: Row) -> str:
    text = f"{trade.amount:.{market.amount_decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _shortest(number: float) -> float | int:
    """10106 for 10106.0, as the exchange formats it."""
    return int(number) if number.is_integer() else number


def _product(native: str, market: SimMarket) -> dict[str, Any]:
    symbol = market.market.symbol
    return {
        "id": native,
        "base_currency": symbol.base,
        "quote_currency": symbol.quote,
        "base_min_size": f"{market.amount_step:.{market.amount_decimals}f}",
        "base_max_size": "1000000",
        "quote_increment": f"{market.price_step:.{market.price_decimals}f}",
        "base_increment": f"{market.amount_step:.{market.amount_decimals}f}",
        "display_name": f"{symbol.base}/{symbol.quote}",
        "min_market_funds": "1",
        "max_market_funds": "1000000",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "trading_disabled": False,
        "status": "online",
        "status_message": "",
    }


def _seconds(params: Mapping[str, str], name: str, otherwise: int) -> int:
    """A time given as unix seconds or in ISO 8601, where no zone means UTC."""
    text = params.get(name)
    if not text:
        return otherwise
    seconds = whole(text)
    if seconds is not None:
        return seconds
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _refused(f"Invalid {name}") from None
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC)) // SECOND_US


def _cursor(params: Mapping[str, str], name: str) -> int | None:
    if name not in params:
        return None
    number = whole(params[name])
    if number is None:
        raise _refused(f"Invalid {name}")
    return number


def _refused(problem: str, status: int = 400) -> Refused:
    return Refused(Answer(encode({"message": problem}), status))


def _failure(message: str, reason: str | None = None) -> bytes:
    return encode({"type": "error", "message": message, **({"reason": reason} if reason else {})})
