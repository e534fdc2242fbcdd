"""What is known of each market, each pair, and of what is read from the warehouse, as series. Pure."""

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
"""An exchange whose last trade is older than this against another's says nothing beside it."""


class RsiOf(msgspec.Struct, frozen=True):
    market_id: int
    interval: Interval
    period: int


class AveragesOf(msgspec.Struct, frozen=True):
    """How far the fast moving average is above the slow one, in percent."""

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
    """For how many seconds nothing was heard."""

    market_id: int


class GapOf(msgspec.Struct, frozen=True):
    """How many interruptions are open."""

    market_id: int


class FailureOf(msgspec.Struct, frozen=True):
    """1 at the moment in which a job (None: any) has failed, and 0 after it."""

    job: str | None


Reading: TypeAlias = RsiOf | AveragesOf | FearGreedNow | SentimentOf | SilenceOf | GapOf | FailureOf
"""A number that is read from the warehouse."""


class Span:
    """The series of one window: how far the price has risen, fallen, and is beyond all others, in percent."""

    __slots__ = ("extremes", "fall", "from_high", "from_low", "is_warm", "length_s", "rise")

    def __init__(self, key: str, length_s: int) -> None:
        self.length_s = length_s
        self.extremes = Extremes(length_s)
        self.rise = Series(key)
        self.fall = Series(key)
        self.from_high = Series(key)
        self.from_low = Series(key)
        self.is_warm = False
        """Whether it was filled with what was before."""

    @property
    def is_watched(self) -> bool:
        return any(len(one.ladder) for one in (self.rise, self.fall, self.from_high, self.from_low))

    def take(self, ts_us: int, price: float, touched: list[Threshold]) -> None:
        extremes = self.extremes
        extremes.advance(ts_us)
        high, low = extremes.high, extremes.low
        if extremes.covers(ts_us):
            # The first price after a pause as long as the window is beyond nothing.
            self.from_high.set((price / high - 1) * 100 if high else 0.0, touched)
            self.from_low.set((1 - price / low) * 100 if low else 0.0, touched)
        extremes.add(ts_us, price, price)
        high, low = extremes.high, extremes.low
        assert high is not None  # noqa: S101  # one was added just now
        assert low is not None  # noqa: S101
        self.rise.set((price / low - 1) * 100, touched)
        self.fall.set((1 - price / high) * 100, touched)


class Turnover:
    """How many times the usual volume is traded in a window."""

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
    """Prices that come one after the other: trades of a market, averages of a pair, closes of candles."""

    def __init__(self, key: str, symbol: Symbol, market: Market | None = None, market_id: int = 0) -> None:
        self.key = key
        self.symbol = symbol
        self.market = market
        self.market_id = market_id
        self.last: float | None = None
        self.last_us = 0
        self.seq = 0
        """Of the last commit taken, in an order of its own."""
        self.price = Series(key)
        self.off_peg: dict[float, Series] = {}
        self.spans: dict[int, Span] = {}
        self.turnovers: dict[tuple[int, int], Turnover] = {}
        self.from_average = Series(key)

    @property
    def needs_every_trade(self) -> bool:
        """Whether the range of a commit's prices does not tell all that its rules wait for."""
        return bool(self.spans or self.turnovers or self.off_peg or len(self.from_average.ladder))

    @property
    def is_watched(self) -> bool:
        """Whether anybody waits for more of it than was let go of."""
        return self.needs_every_trade or bool(len(self.price.ladder))

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
        """Say how far the last price is from ``average``, in percent."""
        if not len(self.from_average.ladder) or self.last is None:
            return
        is_fresh = average.last is not None and self.last_us - average.last_us <= AVERAGE_STALE_US
        self.from_average.set(
            (self.last / average.last - 1) * 100 if is_fresh and average.last else None, touched
        )

    def tidy(self) -> None:
        """Let go of what nobody waits for any more."""
        self.off_peg = {peg: series for peg, series in self.off_peg.items() if len(series.ladder)}
        self.spans = {length_s: span for length_s, span in self.spans.items() if span.is_watched}
        self.turnovers = {key: one for key, one in self.turnovers.items() if len(one.ratio.ladder)}

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
    """All that is known of one pair: its markets, its average."""

    def __init__(self, symbol: Symbol) -> None:
        self.symbol = symbol
        self.anywhere = Series("")
        """Every trade of any exchange."""
        self.average = PriceSeries(f"average:{symbol}", symbol)
        self.markets: dict[str, PriceSeries] = {}
        self.spreads: dict[tuple[str, str], Series] = {}
        self._prices: dict[str, Series] = {}

    def price_on(self, exchange: str) -> Series:
        """The prices of the pair on one exchange, before anything traded there, too."""
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
            or len(self.anywhere.ladder)
            or self.average.is_watched
            or any(len(series.ladder) for series in self._prices.values())
        )

    def tidy(self) -> None:
        """Let go of what nobody waits for any more."""
        self.average.tidy()
        self.spreads = {names: series for names, series in self.spreads.items() if len(series.ladder)}

    def compare(self, exchange: str, touched: list[Threshold]) -> None:
        for exchanges, series in self.spreads.items():
            if exchange in exchanges:
                one, other = (self.markets.get(name) for name in exchanges)
                if one and other and one.last and other.last:
                    low, high = sorted((one.last, other.last))
                    is_fresh = abs(one.last_us - other.last_us) <= FRESH_US
                    series.set((high / low - 1) * 100 if is_fresh else None, touched)


class MarketState:
    """Every feed, made when it is asked for first."""

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
        """Let go of windows, readings and pairs that nobody waits for any more; asked for again, they begin
        anew."""
        for feed in (*self.markets.values(), *self.candles.values()):
            feed.tidy()
        for pair in self.pairs.values():
            pair.tidy()
        self.candles = {key: feed for key, feed in self.candles.items() if feed.is_watched}
        self.readings = {key: series for key, series in self.readings.items() if len(series.ladder)}
        self.pairs = {symbol: pair for symbol, pair in self.pairs.items() if pair.is_watched}
