"""Rule engines beside each other that store what they come to in one place, against one that is alone."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coinwatch.alerts import Above, Below, Firing, Repeat, Rule, Terms
from tests.app.alerts.rules.engine_runs import EVENTS, PRICES, RULES, EngineRun, Event, ends_at, events_of
from tests.app.alerts.rules.test_engine import BINANCE, START_US, rule
from tests.app.alerts.rules.test_restarts import lived, received


class Store:
    """The rules as stored, what was claimed of them, and how far the furthest has received to have come."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = {stored.id: stored for stored in rules}
        self.fired: list[Firing] = []
        self.looked = 0


class Beside:
    """One of several engines: it hears some events at a time and claims what comes of them."""

    def __init__(self, store: Store, events: Sequence[Event]) -> None:
        self._store = store
        self._events = events
        self._heard = store.looked
        self._life = EngineRun(list(store.rules.values()), events[: self._heard], self._now_us)

    @property
    def _now_us(self) -> int:
        return ends_at(self._events[self._heard - 1]) if self._heard else START_US

    def go_on(self, count: int) -> None:
        """Hear the next events and claim once, as after each commit or at the end of catching up."""
        for event in self._events[self._heard : self._heard + count]:
            self._heard += 1
            self._life.hear(self._heard, event, by_range=True)
        self._claim()

    def store(self) -> None:
        """As each second: should all end now, the next one begins here."""
        self._life.engine.tick(self._now_us)
        self._claim()
        self._store.looked = max(self._store.looked, self._heard)

    def _claim(self) -> None:
        engine, stored = self._life.engine, self._store.rules
        for change in engine.drain():
            now = stored[change.before.id]
            claimed = change if now.state_no == change.before.state_no else change.onto(now)
            if claimed is not change:
                engine.put(now, self._now_us)
            if claimed is None:
                continue
            stored[now.id] = claimed.after
            self._store.fired += claimed.firings
            if engine.get(now.id) is not claimed.after:
                engine.put(claimed.after, self._now_us)


PLAIN_RULES = st.lists(
    st.builds(
        lambda side, price, repeat, hysteresis, exchange: rule(
            side(price=price), terms=Terms(repeat=repeat, hysteresis=hysteresis), exchange=exchange
        ),
        st.sampled_from([Above, Below]),
        PRICES,
        st.sampled_from([Repeat.EVERY, Repeat.EVERY, Repeat.ONCE]),
        st.sampled_from([0.0, 1.0]),
        st.sampled_from([None, "binance"]),
    ),
    min_size=1,
    max_size=4,
).map(
    lambda made: [msgspec.structs.replace(unnumbered, id=number) for number, unnumbered in enumerate(made, 1)]
)
TURNS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([1, 1, 1, 2, 5, 12, 30]) | st.sampled_from(["stores", "ends"]),
    ),
    max_size=60,
)
"""Which engine continues, and by how many events at once, or is sent to store how far it is, or is ended."""


ABOVE = rule(Above(price=100.0), terms=Terms(repeat=Repeat.EVERY))
UP_AND_DOWN = events_of([[(102.0, BINANCE, 1)], [(98.0, BINANCE, 1)], [(102.0, BINANCE, 1)]])


@settings(derandomize=True, deadline=None, max_examples=300)
@example([ABOVE], UP_AND_DOWN, [(1, 2)])
@example([ABOVE], UP_AND_DOWN, [(1, 1), (1, 1)])
@given(PLAIN_RULES | RULES, EVENTS, TURNS)
def test_several_endpoints_report_what_a_single_one_reports(
    rules: list[Rule], events: list[Event], turns: list[tuple[int, int | str]]
) -> None:
    store = Store(rules)
    engines = [Beside(store, events) for _ in range(3)]
    for number, turn in turns:
        match turn:
            case int():
                engines[number].go_on(turn)
            case "stores":
                engines[number].store()
            case "ends":
                engines[number] = Beside(store, events)
    for engine in engines:
        engine.go_on(len(events))
    assert received(store.fired, rules, events) == received(lived(rules, events), rules, events)
