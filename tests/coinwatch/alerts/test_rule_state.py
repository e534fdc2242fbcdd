"""The state of a rule as it is stored: rules of earlier versions stay readable."""

from __future__ import annotations

import msgspec

from coinwatch.alerts import RuleState

STATE = RuleState(waiting=True, fired_ts_us=5, seen={"1": 7}, legs={"1": "01"}, late_firings=(("1", 6, 5),))
STORED = b'{"waiting":true,"told_us":5,"seen":{"1":7},"legs":{"1":"01"},"told_late":[["1",6,5]]}'


def test_the_stored_names_stay() -> None:
    assert msgspec.json.encode(STATE) == STORED
    assert msgspec.json.decode(STORED, type=RuleState) == STATE
    assert msgspec.json.encode(RuleState()) == b"{}"


def test_late_firings_are_known_by_feed_and_commit() -> None:
    assert STATE.has_fired_late_on("1", 6)
    assert not STATE.has_fired_late_on("2", 6)
    assert not STATE.has_fired_late_on("1", 7)
