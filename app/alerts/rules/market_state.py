"""The state of markets and pairs, and numbers read from the warehouse, as series. Pure: no I/O."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from app.alerts.rules.rolling_windows import Extremes, Sums
from app.alerts.rules.threshold_index import Series, Threshold
from coinwatch.alerts import MovingAverage
from coinwatch.intervals import Interval
from coinwatch.liveness import AVERAGE_STALE_US
from coinwatch.records import Market, Symbol
from coinwatch.times import MINUTE_US

FRESH_US = 5 * MINUTE_US
"""Exchanges whose last trades are further apart than this are not compared."""


class RsiOf(msgspec.Struct, frozen=True):
    market_id: int
    interval: Interval
    period: int


class AveragesOf(msgspec.Struct, frozen=True):
    """The distance of a fast moving average above a slow one, in percent."""

    market_id: int
    interval: Interval
    fast: int
    slow: int
    average: MovingAverage


class FearGreedNow(msgspec.Struct, frozen=True):
    pass


class SentimentOf(msgspec.Struct, frozen=True):
    base: str


class SilenceOf(msgspec.Struct, frozen=True):
    """The seconds since the last message of a market's stream."""

    market_id: int


class GapOf(msgspec.Struct, frozen=True):
    """The number of open stream gaps."""

    market_id: int


class FailureOf(msgspec.Struct, frozen=True):
    """1 at the moment in which a job (None: any) fails, else 0."""

    job: str | None


Reading: TypeAlias = RsiOf | AveragesOf | FearGreedNow | SentimentOf | SilenceOf | GapOf | FailureOf
"""A number that is read from the warehouse."""


class Span:
    """The series of a window, in percent: rise, fall, and distance beyond the high and the low before."""

    __slots__ = ("extremes", "fall", "from_high", "from_low", "is_warm", "length_s", "rise")

    def __init__(self, key: str, length_s: int) -> None:
        self.length_s = length_s
        self.extremes = Extremes(length_s)
        self.rise = Series(key)
        self.fall = Series(key)
        self.from_high = Series(key)
        self.from_low = Series(key)
        self.is_warm = False
        """Whether it was filled with prices from before the first trade here."""

    @property
    def is_watched(self) -> bool:
        return any(len(series.thresholds) for series in (self.rise, self.fall, self.from_high, self.from_low))

    def take(self, ts_us: int, price: float, touched: list[Threshold]) -> None:
        extremes = self.extremes
        extremes.advance(ts_us)
        high, low = extremes.high, extremes.low
        if extremes.covers(ts_us):
            # After a pause as long as the window there is no high or low to be beyond.
            self.from_high.set((price / high - 1) * 100 if high else 0.0, touched)
            self.from_low.set((1 - price / low) * 100 if low else 0.0, touched)
        extremes.add(ts_us, price, price)
        high, low = extremes.high, extremes.low
        assert high is not None  # noqa: S101  # a price was added just now
        assert low is not None  # noqa: S101
        self.rise.set((price / low - 1) * 100, touched)
        self.fall.set((1 - price / high) * 100, touched)


class Turnover:
    """The volume of a window as a multiple of the usual volume."""

    __slots__ = ("is_warm", "length_s", "ratio", "sums", "usual_s")

    def __init__(self, key: str, length_s: int, usual_s: int) -> None:
        self.length_s = length_s
        self.usual_s = usual_s
        self.sums = Sums(length_s, usual_s)
        self.ratio = Series(key)
        self.is_warm = False

    def take(self, ts_us: int, amount: float, touched: list[Threshold]) -> None:
        self.sums.add(ts_us, amount)
        self.ratio.set(self.sums.ratio(ts_us), touched)


class PriceSeries:
    """A series of prices: trades of a market, averages of a pair, or closes of candles."""

    def __init__(self, key: str, symbol: Symbol, market: Market | None = None, market_id: int = 0) -> None:
        self.key = key
        self.symbol = symbol
        self.market = market
        self.market_id = market_id
        self.last: float | None = None
        self.last_us = 0
        self.seq = 0
        """The number of the last commit taken, in the order of this series."""
        self.price = Series(key)
        self.off_peg: dict[float, Series] = {}
        self.spans: dict[int, Span] = {}
        self.turnovers: dict[tuple[int, int], Turnover] = {}
        self.from_average = Series(key)

    @property
    def needs_every_trade(self) -> bool:
        """Whether its rules depend on each trade, not only on the range of prices of a commit."""
        return bool(self.spans or self.turnovers or self.off_peg or len(self.from_average.thresholds))

    @property
    def is_watched(self) -> bool:
        """Whether a rule depends on it."""
        return self.needs_every_trade or bool(len(self.price.thresholds))

    def take(self, ts_us: int, price: float, amount: float, touched: list[Threshold]) -> None:
        self.last = price
        self.last_us = max(self.last_us, ts_us)
        self.price.set(price, touched)
        for peg, series in self.off_peg.items():
            series.set(abs(price / peg - 1) * 100, touched)
        for span in self.spans.values():
            if span.is_warm:
                span.take(ts_us, price, touched)
        for turnover in self.turnovers.values():
            if turnover.is_warm:
                turnover.take(ts_us, amount, touched)

    def compare(self, average: PriceSeries, touched: list[Threshold]) -> None:
        """Update the distance of the last price from ``average``, in percent."""
        if not len(self.from_average.thresholds) or self.last is None:
            return
        is_fresh = average.last is not None and self.last_us - average.last_us <= AVERAGE_STALE_US
        self.from_average.set(
            (self.last / average.last - 1) * 100 if is_fresh and average.last else None, touched
        )

    def tidy(self) -> None:
        """Remove what no rule depends on."""
        self.off_peg = {peg: series for peg, series in self.off_peg.items() if len(series.thresholds)}
        self.spans = {length_s: span for length_s, span in self.spans.items() if span.is_watched}
        self.turnovers = {
            key: turnover for key, turnover in self.turnovers.items() if len(turnover.ratio.thresholds)
        }

    def span(self, length_s: int) -> Span:
        if length_s not in self.spans:
            self.spans[length_s] = Span(self.key, length_s)
        return self.spans[length_s]

    def turnover(self, length_s: int, usual_s: int) -> Turnover:
        key = length_s, usual_s
        if key not in self.turnovers:
            self.turnovers[key] = Turnover(self.key, length_s, usual_s)
        return self.turnovers[key]


class Pair:
    """The state of a pair: its markets and its average."""

    def __init__(self, symbol: Symbol) -> None:
        self.symbol = symbol
        self.anywhere = Series("")
        """The price of every trade, of any exchange."""
        self.average = PriceSeries(f"average:{symbol}", symbol)
        self.markets: dict[str, PriceSeries] = {}
        self.spreads: dict[tuple[str, str], Series] = {}
        self._prices: dict[str, Series] = {}

    def price_on(self, exchange: str) -> Series:
        """The prices of the pair on an exchange, created if nothing traded there yet."""
        if exchange not in self._prices:
            self._prices[exchange] = Series("")
        return self._prices[exchange]

    def spread(self, exchanges: tuple[str, str]) -> Series:
        if exchanges not in self.spreads:
            self.spreads[exchanges] = Series(f"spread:{self.symbol}")
        return self.spreads[exchanges]

    @property
    def is_watched(self) -> bool:
        return bool(
            self.markets
            or self.spreads
            or len(self.anywhere.thresholds)
            or self.average.is_watched
            or any(len(series.thresholds) for series in self._prices.values())
        )

    def tidy(self) -> None:
        """Remove what no rule depends on."""
        self.average.tidy()
        self.spreads = {names: series for names, series in self.spreads.items() if len(series.thresholds)}

    def compare(self, exchange: str, touched: list[Threshold]) -> None:
        for exchanges, series in self.spreads.items():
            if exchange in exchanges:
                first, second = (self.markets.get(name) for name in exchanges)
                if first and second and first.last and second.last:
                    low, high = sorted((first.last, second.last))
                    is_fresh = abs(first.last_us - second.last_us) <= FRESH_US
                    series.set((high / low - 1) * 100 if is_fresh else None, touched)


class MarketState:
    """All series, each created on first use."""

    def __init__(self) -> None:
        self.pairs: dict[Symbol, Pair] = {}
        self.markets: dict[int, PriceSeries] = {}
        self.candles: dict[tuple[int, Interval], PriceSeries] = {}
        self.readings: dict[Reading, Series] = {}

    def pair(self, symbol: Symbol) -> Pair:
        if symbol not in self.pairs:
            self.pairs[symbol] = Pair(symbol)
        return self.pairs[symbol]

    def market(self, market_id: int, market: Market) -> PriceSeries:
        if market_id not in self.markets:
            pair = self.pair(market.symbol)
            feed = PriceSeries(str(market_id), market.symbol, market, market_id)
            feed.price = pair.price_on(market.exchange)
            self.markets[market_id] = pair.markets[market.exchange] = feed
        return self.markets[market_id]

    def closes(self, feed: PriceSeries, interval: Interval) -> PriceSeries:
        """The closes of the candles of ``feed``."""
        key = feed.market_id, interval
        if key not in self.candles:
            self.candles[key] = PriceSeries(
                f"{feed.key}:{interval}", feed.symbol, feed.market, feed.market_id
            )
        return self.candles[key]

    def reading(self, reading: Reading) -> Series:
        if reading not in self.readings:
            self.readings[reading] = Series(repr(reading))
        return self.readings[reading]

    def tidy(self) -> None:
        """Remove windows, readings and pairs that no rule depends on; on next use they start empty."""
        for feed in (*self.markets.values(), *self.candles.values()):
            feed.tidy()
        for pair in self.pairs.values():
            pair.tidy()
        self.candles = {key: feed for key, feed in self.candles.items() if feed.is_watched}
        self.readings = {key: series for key, series in self.readings.items() if len(series.thresholds)}
        self.pairs = {symbol: pair for symbol, pair in self.pairs.items() if pair.is_watched}
