"""A condition as it is watched for in one place: leaves in the series they wait on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from app.alerts.rules.market_state import (
    AveragesOf,
    FailureOf,
    FearGreedNow,
    GapOf,
    MarketState,
    Pair,
    PriceSeries,
    Reading,
    RsiOf,
    SentimentOf,
    SilenceOf,
)
from app.alerts.rules.threshold_index import Series, Threshold
from coinwatch.alerts import Rule
from coinwatch.alerts import conditions as c


class Node(Protocol):
    def is_met(self) -> bool: ...
    def legs(self) -> Iterator[Threshold]: ...
    def settle(self) -> None:
        """Take notice of what has passed."""

    def clear(self) -> None:
        """What has passed is dealt with."""

    def memory(self) -> Iterator[bool]:
        """What a tree that is grown later has to know of this one."""


class Level:
    """Met while any of its legs is on."""

    def __init__(self, *legs: Threshold) -> None:
        self._legs = legs

    def is_met(self) -> bool:
        return any(leg.is_on for leg in self._legs)

    def legs(self) -> Iterator[Threshold]:
        return iter(self._legs)

    def settle(self) -> None:
        pass

    def clear(self) -> None:
        pass

    def memory(self) -> Iterator[bool]:
        return (leg.is_on for leg in self._legs)


class Crossing:
    """Met while its leg is on, if that was seen off before."""

    def __init__(self, leg: Threshold, *, was_off: bool) -> None:
        self._leg = leg
        self._was_off = was_off

    def is_met(self) -> bool:
        return self._leg.is_on and self._was_off

    def legs(self) -> Iterator[Threshold]:
        yield self._leg

    def settle(self) -> None:
        if self._leg.has_passed:
            self._was_off = True

    def clear(self) -> None:
        self._leg.has_passed = False

    def memory(self) -> Iterator[bool]:
        yield self._leg.is_on
        yield self._was_off


class Pulse:
    """Met for the moment in which its leg turns over."""

    def __init__(self, leg: Threshold) -> None:
        self._leg = leg

    def is_met(self) -> bool:
        return self._leg.has_passed

    def legs(self) -> Iterator[Threshold]:
        yield self._leg

    def settle(self) -> None:
        pass

    def clear(self) -> None:
        self._leg.has_passed = False

    def memory(self) -> Iterator[bool]:
        yield self._leg.is_on


class Group:
    def __init__(self, parts: list[Node], *, needs_all: bool) -> None:
        self._parts = parts
        self._needs_all = needs_all

    def is_met(self) -> bool:
        met = (part.is_met() for part in self._parts)
        return all(met) if self._needs_all else any(met)

    def legs(self) -> Iterator[Threshold]:
        for part in self._parts:
            yield from part.legs()

    def settle(self) -> None:
        for part in self._parts:
            part.settle()

    def clear(self) -> None:
        for part in self._parts:
            part.clear()

    def memory(self) -> Iterator[bool]:
        for part in self._parts:
            yield from part.memory()


class ConditionTreeBuilder:
    """Grows the tree of a condition for one market of a pair, or for the pair as a whole."""

    def __init__(
        self,
        world: MarketState,
        pair: Pair,
        market: PriceSeries | None,
        *,
        owner: Any,
        hysteresis: float,
        was_met: bool,
        memory: Iterable[bool] = (),
    ) -> None:
        """``memory``: that of the tree grown for this place before, which stays so between its levels.

        ``was_met``: in place of one, whether the condition was met when last known.
        """
        self._world = world
        self._pair = pair
        self._market = market
        self._owner = owner
        self._hysteresis = hysteresis
        self._was_met = was_met
        self._memory = iter(memory)

    def grow(self, condition: c.Condition) -> Node:
        match condition:
            case c.All(of=parts):
                return Group([self.grow(part) for part in parts], needs_all=True)
            case c.Any(of=parts):
                return Group([self.grow(part) for part in parts], needs_all=False)
            case c.Above(price=price):
                return Level(self._price_leg(self._feed(condition).price, price, is_up=True))
            case c.Below(price=price):
                return Level(self._price_leg(self._feed(condition).price, price, is_up=False))
            case c.Crosses(price=price, way=way):
                series = self._feed(condition).price
                return self._crossing(series, price, way, band=price * self._hysteresis / 100)
            case c.AverageCross():
                return self._crossing(self._averages(condition), 0.0, condition.way, band=self._hysteresis)
            case _:
                return Level(*self._legs(condition))

    def _legs(self, condition: c.Threshold) -> Iterator[Threshold]:
        match condition:
            case c.Change(percent=percent, within_s=within_s, way=way):
                span = self._feed(condition).span(within_s)
                if way is not c.Move.FALL:
                    yield self._leg(span.rise, percent)
                if way is not c.Move.RISE:
                    yield self._leg(span.fall, percent)
            case c.NewHigh(over_s=over_s):
                yield self._leg(self._feed(condition).span(over_s).from_high, 0.0, is_strict=True)
            case c.NewLow(over_s=over_s):
                yield self._leg(self._feed(condition).span(over_s).from_low, 0.0, is_strict=True)
            case c.FromAverage(percent=percent, side=side):
                series = self._needed_market().from_average
                if side is not c.Side.BELOW:
                    yield self._leg(series, percent)
                if side is not c.Side.ABOVE:
                    yield self._leg(series, -percent, is_up=False)
            case c.Spread(exchanges=exchanges, percent=percent):
                yield self._leg(self._pair.spread(exchanges), percent)
            case c.Volume(over_s=over_s, times=times, usual_s=usual_s):
                yield self._leg(self._needed_market().turnover(over_s, usual_s).ratio, times)
            case c.Depeg(percent=percent, peg=peg):
                feed = self._feed(condition)
                series = feed.off_peg.setdefault(peg, Series(feed.key))
                if feed.last is not None:
                    series.value = abs(feed.last / peg - 1) * 100
                yield self._leg(series, percent)
            case c.Rsi(level=level, side=side, interval=interval, period=period):
                reading: Reading = RsiOf(self._needed_market().market_id, interval, period)
                yield self._reading_leg(reading, level, side)
            case c.FearGreed(level=level, side=side):
                yield self._reading_leg(FearGreedNow(), level, side)
            case c.Sentiment(level=level, side=side):
                yield self._reading_leg(SentimentOf(self._pair.symbol.base), level, side)
            case c.Silent(for_s=for_s):
                silence = SilenceOf(self._needed_market().market_id)
                yield self._reading_leg(silence, for_s, c.Direction.ABOVE)
            case c.JobFailed(job=job):
                yield self._reading_leg(FailureOf(job), 1, c.Direction.ABOVE)
            case c.OpenGap():
                yield self._reading_leg(GapOf(self._needed_market().market_id), 1, c.Direction.ABOVE)
            case _:
                raise TypeError(f"nothing watches for {type(condition).__name__}")

    def _crossing(self, series: Series, level: float, way: c.Way, *, band: float) -> Node:
        is_up = way is not c.Way.DOWN
        off = level - band if is_up else level + band
        leg = Threshold(self._owner, series, on=level, off=off, is_up=is_up)
        self._start(leg)
        if way is c.Way.EITHER:
            return Pulse(leg)
        return Crossing(leg, was_off=self._recalled())

    def _price_leg(self, series: Series, price: float, *, is_up: bool) -> Threshold:
        band = price * self._hysteresis / 100
        leg = Threshold(
            self._owner, series, on=price, off=price - band if is_up else price + band, is_up=is_up
        )
        return self._start(leg)

    def _leg(self, series: Series, on: float, *, is_up: bool = True, is_strict: bool = False) -> Threshold:
        off = on - self._hysteresis if is_up else on + self._hysteresis
        return self._start(Threshold(self._owner, series, on=on, off=off, is_up=is_up, is_strict=is_strict))

    def _reading_leg(self, reading: Reading, level: float, side: c.Direction) -> Threshold:
        return self._leg(self._world.reading(reading), level, is_up=side is c.Direction.ABOVE)

    def _start(self, leg: Threshold) -> Threshold:
        value, remembered = leg.series.value, next(self._memory, None)
        was_on = self._was_met if remembered is None else remembered
        leg.start(is_on=bool(remembered) if value is None else leg.would_be_on(value, was_on=was_on))
        return leg

    def _recalled(self) -> bool:
        return next(self._memory, self._was_met)

    def _averages(self, condition: c.AverageCross) -> Series:
        return self._world.reading(
            AveragesOf(
                self._needed_market().market_id,
                condition.interval,
                condition.fast,
                condition.slow,
                condition.average,
            )
        )

    def _feed(self, condition: c.Priced) -> PriceSeries:
        match condition.source:
            case c.Source.AVERAGE:
                return self._pair.average
            case c.Source.CANDLE:
                assert condition.interval is not None  # noqa: S101  # as it was read
                return self._world.closes(self._needed_market(), condition.interval)
            case _:
                return self._needed_market()

    def _needed_market(self) -> PriceSeries:
        assert self._market is not None  # noqa: S101  # see is_of_markets
        return self._market


def compared(condition: c.Condition) -> frozenset[str]:
    """The exchanges that a condition names itself, wherever it is watched for."""
    return frozenset(
        name for leaf in c.leaves(condition) if isinstance(leaf, c.Spread) for name in leaf.exchanges
    )


def goes_by_trades(condition: c.Condition) -> bool:
    """Whether a trade may be what meets it: not where all is about averages or closed candles."""
    return any(_goes_by_trades(leaf) for leaf in c.leaves(condition))


def _goes_by_trades(leaf: c.Threshold) -> bool:
    match leaf:
        case c.Priced(source=source):
            return source is c.Source.TRADE
        case c.Rsi() | c.AverageCross():
            return False
        case _:
            return True


def waits_for_the_clock(condition: c.Condition) -> bool:
    """Whether no price need come for it to be met: it is read once a second."""
    return any(
        isinstance(leaf, c.FearGreed | c.Sentiment | c.Silent | c.OpenGap) for leaf in c.leaves(condition)
    )


def needs_memory(rule: Rule) -> bool:
    """Whether the last prices do not tell all that its trees have come to."""
    return rule.terms.hysteresis > 0 or not all(_is_told_at_once(leaf) for leaf in c.leaves(rule.condition))


def _is_told_at_once(leaf: c.Threshold) -> bool:
    """Whether whoever begins to look knows its number before anything else happens."""
    match leaf:
        case c.Above(source=source) | c.Below(source=source):
            return source is not c.Source.AVERAGE
        case c.FearGreed() | c.Sentiment() | c.Silent() | c.OpenGap() | c.JobFailed():
            return True
        case _:
            return False
