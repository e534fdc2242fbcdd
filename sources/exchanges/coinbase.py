"""Coinbase Exchange: the ``matches`` and ``heartbeat`` feed, REST products. All public, no key."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import ClassVar, Literal

import msgspec

from coinwatch.errors import Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, Trade
from coinwatch.times import SECOND_US, to_datetime
from coinwatch.windows import Window
from sources.exchanges import base
from sources.exchanges.base import (
    Decoded,
    Decoder,
    Exchange,
    Paging,
    Past,
    RateLimit,
    Rejected,
    RestRequest,
    Skipped,
)
from sources.rows import CandleRow, TradeRow, candles, instrument, instruments, trades, volumes
from sources.wire import UNREADABLE, bad_frame, is_trade, iso_us, read


class _Match(msgspec.Struct, gc=False):
    type: Literal["match", "last_match"]
    trade_id: int
    side: Literal["buy", "sell"]
    size: float
    price: float
    product_id: str
    time: str


class _Other(msgspec.Struct):
    type: str
    message: str = ""
    reason: str = ""


class _CandleRow(msgspec.Struct, array_like=True, gc=False):
    time: int
    low: float
    high: float
    open: float
    close: float
    volume: float


class _RestTrade(msgspec.Struct, gc=False):
    trade_id: int
    side: Literal["buy", "sell"]
    size: float
    price: float
    time: str


class _Product(msgspec.Struct):
    id: str
    base_currency: str
    quote_currency: str
    status: str
    quote_increment: float | None = None
    base_increment: float | None = None


class _Day(msgspec.Struct, gc=False):
    volume: float
    last: float


class _Stats(msgspec.Struct, gc=False):
    stats_24hour: _Day


_PRODUCT = re.compile(r"\b[A-Z0-9]+(?:-[A-Z0-9]+)+\b")
"""The id of a product in a refusal: ``BTC-USDX is not a valid product``."""

_KINDS = {
    "subscriptions": base.ACK,
    "heartbeat": base.HEARTBEAT,
    "status": base.STATUS,
    "ticker": base.TICKER,
    "snapshot": base.BOOK,
    "l2update": base.BOOK,
    **dict.fromkeys(("received", "open", "done", "change", "activate"), Skipped("order")),
}

# Prices and sizes arrive as JSON strings: strict=False parses them to floats in the same pass.
_read_match = msgspec.json.Decoder(_Match, strict=False).decode
_read_other = msgspec.json.Decoder(_Other).decode
_read_candles = msgspec.json.Decoder(list[_CandleRow], strict=False).decode
_read_trades = msgspec.json.Decoder(list[_RestTrade], strict=False).decode
_read_products = msgspec.json.Decoder(list[_Product], strict=False).decode
_read_all_stats = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_stats = msgspec.json.Decoder(_Stats, strict=False).decode
_encode = msgspec.json.encode


class Coinbase(Exchange):
    """The spot markets of Coinbase."""

    name: ClassVar[str] = "coinbase"
    rest_limit: ClassVar[RateLimit] = RateLimit(15, 10)
    markets_per_socket: ClassVar[int] = 50
    max_silence_s: ClassVar[float] = 10  # a heartbeat a second for each product
    intervals: ClassVar[frozenset[Interval]] = frozenset(Interval) - {Interval.H4}
    candles_per_request: ClassVar[int] = 300
    trades_per_request: ClassVar[int] = 1_000
    trade_paging: ClassVar[Paging] = Paging.FROM_ID
    consecutive_ids: ClassVar[bool] = True

    def native(self, market: Market) -> str:
        """``BTC-USDT``"""
        return str(market.symbol)

    def stream_url(self, root: str) -> str:
        return root

    def subscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """``{"type":"subscribe","product_ids":["BTC-USD"],"channels":["matches","heartbeat"]}``

        One frame per market, because Coinbase rejects a whole frame for one unknown product.
        """
        return [self._frame("subscribe", market) for market in markets]

    def unsubscribe(self, markets: Sequence[Market]) -> list[bytes]:
        return [self._frame("unsubscribe", market) for market in markets]

    def _frame(self, command: str, market: Market) -> bytes:
        return _encode(
            {
                "type": command,
                "product_ids": [self.native(market)],
                "channels": ["matches", "heartbeat"],
            }
        )

    def decoder(self, markets: Collection[Market]) -> Decoder:
        """Decodes ``match``, and ``last_match``, an earlier trade sent on subscribing (Past)::

            {"type":"match","trade_id":881614,"maker_order_id":"…","taker_order_id":"…",
             "side":"sell","size":"0.07","price":"14.7776","product_id":"BAND-GBP",
             "sequence":333938803,"time":"2021-04-17T16:43:37.027441Z"}

        ``side`` is the maker's; the taker has the other one.
        """
        market_of = self.by_native(markets).get

        def decode(frame: bytes | memoryview) -> Decoded:
            try:
                match = _read_match(frame)
                ts_us = iso_us(match.time)
            except UNREADABLE:
                return _decode_other(frame)
            if not is_trade(match.trade_id, ts_us, match.price, match.size):
                raise bad_frame("coinbase", "match with impossible numbers", frame)
            market = market_of(match.product_id)
            if market is None:
                return base.OTHER_MARKET
            trade = Trade(market, match.trade_id, ts_us, match.price, match.size, match.side == "sell")
            return [trade] if match.type == "match" else Past([trade])

        return decode

    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        self.check_interval(interval)
        return RestRequest(
            f"/products/{self.rest_native(market)}/candles",
            {
                "granularity": str(interval.seconds),
                "start": _iso(window.start_us),
                "end": _iso(window.end_us - interval.us),  # inclusive
            },
        )

    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """Newest first; time, low, high, open, close, volume:
        ``[[1517443740,10106,10120.21,10106.01,10120.21,2.85107455]]``
        """
        sent = read(self.name, f"{market} candles", _read_candles, body)
        rows = (
            CandleRow(row.time * SECOND_US, row.open, row.high, row.low, row.close, row.volume)
            for row in sent
        )
        return candles(market, interval, rows, body)

    def trades_request(
        self,
        market: Market,
        *,
        from_id: int | None = None,
        since_us: int | None = None,
        before_id: int | None = None,
    ) -> RestRequest:
        if since_us is not None:
            raise Fatal(self.name, "serves trades by id, not by time")
        params = {"limit": str(self.trades_per_request)}
        if from_id is not None:
            # ``after`` means older than: the page ends just below that id.
            params["after"] = str(from_id + self.trades_per_request)
        return RestRequest(f"/products/{self.rest_native(market)}/trades", params)

    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """Newest first; ``side`` is the maker's: ``[{"time":"2014-11-07T22:19:28.578544Z",
        "trade_id":74,"price":"10.00000000","size":"0.01000000","side":"buy"}]``
        """
        sent = read(self.name, f"{market} trades", _read_trades, body)
        rows = (
            TradeRow(row.trade_id, iso_us(row.time), row.price, row.size, row.side == "sell")
            for row in reversed(sent)
        )
        return trades(market, rows, body)

    def instruments_request(self) -> RestRequest:
        return RestRequest("/products")

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """``[{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","quote_increment":"0.01",
        "base_increment":"0.00000001","status":"online"}]``

        Products that are not the market of their assets, such as ``BTCAUCTION-USD``, are left out.
        """
        return instruments(
            instrument(
                self.name,
                product.base_currency,
                product.quote_currency,
                product.id,
                active=product.status == "online",
                price_step=product.quote_increment,
                amount_step=product.base_increment,
            )
            for product in read(self.name, "products", _read_products, body)
            if product.id == f"{product.base_currency}-{product.quote_currency}"
        )

    def volumes_request(self) -> RestRequest:
        """The page "Get product stats", but without a product, which is not documented."""
        return RestRequest("/products/stats")

    def decode_volumes(self, body: bytes) -> dict[str, float]:
        """``{"ETH-BTC":{"stats_30day":{"volume":"311024.5"},"stats_24hour":{"open":"0.0723",
        "high":"0.07455","low":"0.07163","volume":"62.43255831","last":"0.0726"}}}``

        The volume is in the base asset.
        """
        sent = read(self.name, "products/stats", _read_all_stats, body)
        return volumes(self.name, sent.items(), _volume, body)


def _iso(ts_us: int) -> str:
    """``2021-04-17T16:43:00Z``"""
    return to_datetime(ts_us).strftime("%Y-%m-%dT%H:%M:%SZ")


def _volume(product: tuple[str, msgspec.Raw]) -> tuple[str, float]:
    native, stats = product
    day = _read_stats(stats).stats_24hour
    return native, day.volume * day.last


def _decode_other(frame: bytes | memoryview) -> Skipped | Rejected:
    """Decode any frame that is not a valid match."""
    try:
        other = _read_other(frame)
        if other.type in ("match", "last_match"):
            iso_us(_read_match(frame).time)  # raises with the reason
    except UNREADABLE as error:
        raise bad_frame("coinbase", str(error), frame) from error
    if other.type == "error":
        named = _PRODUCT.search(other.reason)
        return Rejected(named and named.group(), other.reason or other.message)
    return _KINDS.get(other.type, base.OTHER)
