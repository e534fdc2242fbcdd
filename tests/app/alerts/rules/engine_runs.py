"""A rule engine from one start to the next, for tests: what is stored of it, what may happen to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

import msgspec
from hypothesis import strategies as st

from app.alerts.evaluation.polled_inputs import MOST_CLOSES, apply_close
from app.alerts.evaluation.warm_up import SLACK_US, fill
from app.alerts.rules.engine import RuleEngine
from app.alerts.rules.market_state import PriceSeries, Span, Turnover
from app.alerts.rules.rolling_windows import slot_us
from coinwatch.alerts import Condition, Firing, MovingAverage, Quiet, Repeat, Rule, Source, Terms
from coinwatch.alerts import conditions as c
from coinwatch.intervals import Interval
from coinwatch.records import Market, Trade
from coinwatch.times import SECOND_US
from tests.app.alerts.rules.test_engine import BINANCE, KRAKEN, START_US, rule
from warehouse.alerts.history import Close, Slot

PAIR = BINANCE.symbol
IDS = {BINANCE: 1, KRAKEN: 2}
M1 = Interval.M1


class Average(msgspec.Struct, frozen=True):
    ts_us: int
    price: float


class Closed(msgspec.Struct, frozen=True):
    """A candle of a minute, of one market."""

    market: Market
    ts_us: int
    price: float


Commit: TypeAlias = list[Trade]
Event: TypeAlias = Commit | Average | Closed


def ends_at(event: Event) -> int:
    return event[-1].ts_us if isinstance(event, list) else event.ts_us


class EngineRun:
    """A engine from one start to its end."""

    def __init__(self, rules: Sequence[Rule], past: Sequence[Event], at_us: int) -> None:
        self.engine = RuleEngine()
        self.fired: list[Firing] = []
        self.stored = {rule_.id: rule_ for rule_ in rules}
        self._closes: dict[tuple[int, Interval], deque[Close]] = {}
        for market, number in IDS.items():
            self.engine.meet(number, market)
        self._know_prices(past, at_us)
        for rule_ in rules:
            self.engine.put(rule_, at_us)
        self._know_windows(past, at_us)
        self._know_candles(past, at_us)

    def _know_prices(self, past: Sequence[Event], at_us: int) -> None:
        """As ``warm_prices`` and ``warm_average`` do."""
        last: tuple[int, float] | None = None
        for number, event in enumerate(past, 1):
            if isinstance(event, list):
                for trade in event:
                    feed = self.engine.market_state.markets[IDS[trade.market]]
                    self.engine.learn_price(feed, trade.price, trade.ts_us, number)
            elif isinstance(event, Average) and event.ts_us >= at_us - 10 * SECOND_US:
                last = event.ts_us, event.price
        self.engine.learn_average(PAIR, at_us - 10 * SECOND_US, last)

    def _know_windows(self, past: Sequence[Event], at_us: int) -> None:
        """As ``warm_windows`` does."""
        market_state = self.engine.market_state
        for feed in (
            *market_state.markets.values(),
            market_state.pair(PAIR).average,
            *market_state.candles.values(),
        ):
            known = [(ts_us, price, amount) for ts_us, price, amount in _taken_by(feed, past, self.engine)]
            windows: list[Span | Turnover] = [*feed.spans.values(), *feed.turnovers.values()]
            for window in windows:
                reach_s = window.length_s + (window.usual_s if isinstance(window, Turnover) else 0)
                since_us = at_us - reach_s * SECOND_US - SLACK_US
                since_us -= since_us % slot_us(window.length_s)
                slots: dict[int, Slot] = {}
                for ts_us, price, amount in known:
                    if ts_us < since_us:
                        continue
                    at = ts_us - ts_us % slot_us(window.length_s)
                    slot = slots.get(at, Slot(at, price, price, 0.0, 0))
                    slots[at] = Slot(at, min(slot.low, price), max(slot.high, price), slot.volume + amount, 0)
                is_older = bool(known) and known[0][0] < since_us
                fill([window], list(slots.values()), since_us if is_older else None)

    def _know_candles(self, past: Sequence[Event], at_us: int) -> None:
        """As ``PolledInputs.start`` does."""
        with self.engine.learning():
            for event in past:
                if isinstance(event, Closed):
                    self._close(event)
        assert self.engine.drain() == []

    def take(self, number: int, event: Event, *, by_range: bool) -> None:
        """The next event, which is commit ``number`` if it is one, and what comes of it is stored."""
        self.hear(number, event, by_range=by_range)
        for change in self.engine.drain():
            assert change.after.state_no == self.stored[change.after.id].state_no + 1
            self.stored[change.after.id] = change.after
            self.fired += change.firings

    def hear(self, number: int, event: Event, *, by_range: bool) -> None:
        """The next event, which is commit ``number`` if it is one."""
        if isinstance(event, list):
            self._tick_until(event[0].ts_us)
            for trade in self._that_matter(number, event) if by_range else event:
                self._tick_until(trade.ts_us)
                feed = self.engine.market_state.markets[IDS[trade.market]]
                self.engine.trade(feed, trade, number, trade.ts_us)
        else:
            self._tick_until(event.ts_us)
            if isinstance(event, Average):
                self.engine.average(PAIR, event.price, event.ts_us, event.ts_us)
            else:
                self._close(event)
        self._tick_until(ends_at(event))

    def store(self, now_us: int) -> None:
        """What is due each second."""
        self._tick_until(now_us)
        self.engine.tick(now_us)
        for change in self.engine.drain():
            self.stored[change.after.id] = change.after
            self.fired += change.firings

    def _that_matter(self, number: int, commit: Commit) -> list[Trade]:
        matter: list[Trade] = []
        for market, market_id in IDS.items():
            part = [trade for trade in commit if trade.market == market]
            if not part:
                continue
            feed = self.engine.market_state.markets[market_id]
            prices = [trade.price for trade in part]
            if self.engine.needs_trades(feed, min(prices), max(prices)):
                matter += part
            else:
                self.engine.moved(feed, part[-1].price, part[-1].ts_us, number)
        return sorted(matter, key=_order)

    def _tick_until(self, ts_us: int) -> None:
        while self.engine.next_due_us <= ts_us:
            self.engine.tick(int(self.engine.next_due_us))

    def _close(self, event: Closed) -> None:
        key = IDS[event.market], M1
        known = self._closes.setdefault(key, deque(maxlen=MOST_CLOSES))
        known.append(Close(event.ts_us, event.price))
        apply_close(self.engine, key, known, event.ts_us)


def _taken_by(feed: PriceSeries, past: Sequence[Event], engine: RuleEngine) -> list[tuple[int, float, float]]:
    taken: list[tuple[int, float, float]] = []
    for event in past:
        if (
            isinstance(event, list)
            and feed is engine.market_state.markets[feed.market_id or 1]
            and feed.market
        ):
            taken += [
                (trade.ts_us, trade.price, trade.amount) for trade in event if trade.market == feed.market
            ]
        elif isinstance(event, Average):
            taken += [(event.ts_us, event.price, 0.0)] if feed.market is None else []
        elif isinstance(event, Closed) and feed is engine.market_state.candles.get((IDS[event.market], M1)):
            taken.append((event.ts_us, event.price, 0.0))
    return taken


def _order(trade: Trade) -> tuple[int, int]:
    return trade.ts_us, IDS[trade.market]


# What happens, and what is watched for.

PRICES = st.integers(95, 105).map(float)
SOURCES = st.sampled_from(
    [
        {},
        {},
        {"source": Source.AVERAGE},
        {"source": Source.CANDLE, "interval": M1},
    ]
)
PERCENTS = st.sampled_from([1.0, 2.0, 4.0])
WINDOWS = st.sampled_from([5, 12, 120, 7_200])
LEAVES: st.SearchStrategy[Condition] = st.one_of(
    st.builds(lambda price, source: c.Above(price=price, **source), PRICES, SOURCES),
    st.builds(lambda price, source: c.Below(price=price, **source), PRICES, SOURCES),
    st.builds(
        lambda price, way, source: c.Crosses(price=price, way=way, **source),
        PRICES,
        st.sampled_from(c.Way),
        SOURCES,
    ),
    st.builds(
        lambda percent, within_s, way, source: c.Change(
            percent=percent, within_s=within_s, way=way, **source
        ),
        PERCENTS,
        WINDOWS,
        st.sampled_from(c.Move),
        SOURCES,
    ),
    st.builds(lambda percent, source: c.Every(percent=percent, base=100.0, **source), PERCENTS, SOURCES),
    st.builds(lambda over_s, source: c.NewHigh(over_s=over_s, **source), WINDOWS, SOURCES),
    st.builds(lambda over_s, source: c.NewLow(over_s=over_s, **source), WINDOWS, SOURCES),
    st.builds(lambda percent, source: c.Depeg(percent=percent, peg=100.0, **source), PERCENTS, SOURCES),
    st.builds(
        lambda percent, side: c.FromAverage(percent=percent, side=side), PERCENTS, st.sampled_from(c.Side)
    ),
    st.builds(lambda percent: c.Spread(exchanges=("binance", "kraken"), percent=percent), PERCENTS),
    st.builds(
        lambda over_s, times: c.Volume(over_s=over_s, times=times, usual_s=2 * over_s + 60),
        st.sampled_from([5, 60]),
        st.sampled_from([0.5, 2.0]),
    ),
    st.builds(
        lambda way, average: c.AverageCross(fast=1, slow=2, interval=M1, way=way, average=average),
        st.sampled_from(c.Way),
        st.sampled_from(MovingAverage),
    ),
    st.builds(
        lambda level, side: c.Rsi(level=level, side=side, interval=M1, period=2),
        st.sampled_from([30.0, 60.0]),
        st.sampled_from(c.Direction),
    ),
)
CONDITIONS = LEAVES | st.builds(
    lambda group, of: group(of=tuple(of)),
    st.sampled_from((c.All, c.Any)),
    st.lists(LEAVES, min_size=2, max_size=3),
)
TERMS = st.builds(
    lambda repeat, hysteresis, confirmed_on, cooldown_s, holds_for_s, expires_s, quiet: Terms(
        repeat=repeat,
        candle=M1 if repeat is Repeat.CANDLE else None,
        hysteresis=hysteresis,
        confirmed_on=confirmed_on,
        cooldown_s=cooldown_s,
        holds_for_s=holds_for_s,
        expires_at_us=None if expires_s is None else START_US + expires_s * SECOND_US,
        quiet=quiet,
    ),
    st.sampled_from([Repeat.EVERY, Repeat.EVERY, Repeat.CANDLE, Repeat.ONCE]),
    st.sampled_from([0.0, 0.0, 1.0, 3.0]),
    st.sampled_from([1, 1, 2]),
    st.sampled_from([0, 0, 7]),
    st.sampled_from([0, 0, 4]),
    st.sampled_from([None, None, 70]),
    st.sampled_from([None, None, Quiet(from_minute=1, to_minute=2)]),
)


def may_hold(made: Rule) -> bool:
    return not (made.terms.holds_for_s and c.is_momentary(made.condition))


RULES = st.lists(
    st.builds(
        lambda condition, terms, exchange: rule(condition, terms=terms, exchange=exchange),
        CONDITIONS,
        TERMS,
        st.sampled_from([None, None, "binance", "kraken"]),
    ).filter(may_hold),
    min_size=1,
    max_size=6,
).map(
    lambda made: [msgspec.structs.replace(unnumbered, id=number) for number, unnumbered in enumerate(made, 1)]
)

GAPS_US = [0, 1, 300_000, 999_999, 1_500_000, 4_000_000, 4_999_999, 5_000_000, 5_000_001, 12_000_000]
"""Also to just before, to and just beyond the ends of windows."""
TRADE = st.tuples(PRICES, st.sampled_from([BINANCE, KRAKEN]), st.sampled_from(GAPS_US))
HAPPENS = st.one_of(
    st.lists(TRADE, min_size=1, max_size=4),
    st.lists(TRADE, min_size=1, max_size=4),
    st.tuples(st.just("average"), PRICES),
    st.tuples(st.just("close"), PRICES, st.sampled_from([BINANCE, KRAKEN])),
    st.tuples(st.just("pause"), st.sampled_from([60, 1_000, 9_000])),
)


def events_of(drawn: Sequence[object]) -> list[Event]:
    """What happens, one after the other."""
    at_us, number = START_US, 0
    events: list[Event] = []
    for event in drawn:
        match event:
            case list():
                commit = []
                for price, market, later_us in event:
                    at_us += later_us
                    number += 1
                    commit.append(Trade(market, number, at_us, price, 1.0, True))
                events.append(sorted(commit, key=_order))
            case ("average", float(price)):
                at_us += SECOND_US - at_us % SECOND_US
                events.append(Average(at_us, price))
            case ("close", float(price), Market() as market):
                at_us += M1.us - at_us % M1.us
                events.append(Closed(market, at_us, price))
            case ("pause", int(length_s)):
                at_us += length_s * SECOND_US
    return events


EVENTS = st.lists(HAPPENS, max_size=30).map(events_of)
