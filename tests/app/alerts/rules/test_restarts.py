"""A rule engine that ends anywhere, and continues from what was stored, against one that never ends.

The first takes commits as an endpoint does: by their range of prices where that states enough, else trade
by trade; the other takes trade after trade, as a preview does.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from coinwatch.alerts import Firing, Rule
from tests.app.alerts.rules.engine_runs import EVENTS, RULES, EngineRun, Event, ends_at
from tests.app.alerts.rules.test_engine import START_US


def received(
    fired: Sequence[Firing], rules: Sequence[Rule], events: Sequence[Event]
) -> dict[int, list[tuple[object, ...]]]:
    """What was fired, by rule: by which trade, average or candle, or by the clock, and what was measured.

    What is fired by the clock names the last price known then, which may be the last of a commit, and
    what was measured only where that is known since the start.
    """
    heard = {event.ts_us for event in events if not isinstance(event, list)}
    by_rule: dict[int, list[tuple[object, ...]]] = {rule.id: [] for rule in rules}
    for firing in fired:
        of_price = (firing.exchange, firing.price) if firing.trade_id or firing.ts_us in heard else ()
        by_rule[firing.rule.id].append(
            (firing.ts_us, firing.trade_id, firing.value if firing.trade_id else None, *of_price)
        )
    return by_rule


def lived(rules: Sequence[Rule], events: Sequence[Event]) -> list[Firing]:
    life = EngineRun(rules, [], START_US)
    for number, event in enumerate(events, 1):
        life.take(number, event, by_range=False)
    return life.fired


@settings(derandomize=True, deadline=None)
@given(RULES, EVENTS)
def test_by_commits_as_trade_by_trade(rules: list[Rule], events: list[Event]) -> None:
    life = EngineRun(rules, [], START_US)
    for number, event in enumerate(events, 1):
        life.take(number, event, by_range=True)
        life.store(ends_at(event))
    assert received(life.fired, rules, events) == received(lived(rules, events), rules, events)


LIVES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted), max_size=4).map(sorted)
"""After which event the stored look of each was, and after which it ended."""


@settings(derandomize=True, deadline=None)
@given(RULES, EVENTS, LIVES, st.sets(st.integers(0, 29)))
def test_ended_anywhere_as_never_ended(
    rules: list[Rule], events: list[Event], lives: list[list[int]], at_once: set[int]
) -> None:
    """The next one continues from a look of some time before that, and takes some commits by their range."""
    fired: list[Firing] = []
    life = EngineRun(rules, [], START_US)
    begun = 0
    for looked, ended in (*lives, (len(events), len(events))):
        for at in range(begun, min(ended, len(events))):
            life.take(at + 1, events[at], by_range=at not in at_once)
            if at + 1 == looked:
                life.store(ends_at(events[at]))
        fired += life.fired
        if begun <= looked <= len(events):
            begun = looked
        at_us = ends_at(events[begun - 1]) if begun else START_US
        life = EngineRun(list(life.stored.values()), events[:begun], at_us)
    assert received(fired, rules, events) == received(lived(rules, events), rules, events)
