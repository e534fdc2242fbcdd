"""Rows of alert rules that a newer version, or somebody by hand, has written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from coinwatch.errors import UnreadableRule
from warehouse.alerts.rows import RULE_COLUMNS, read_rule, read_rules

NAMES = [name.strip() for name in RULE_COLUMNS.split(",")]
GOOD: dict[str, Any] = {
    "id": 1,
    "client": "c",
    "connection": None,
    "exchange": None,
    "base": "BTC",
    "quote": "USDT",
    "typed": "btcusdt",
    "condition": {"type": "above", "price": 1.0},
    "terms": {},
    "note": None,
    "armed": True,
    "state_no": 0,
    "state": {},
    "created_at": datetime(2026, 1, 15, tzinfo=UTC),
    "fired_at": None,
}
NONSENSE: list[object] = [[1], "above", 7, {"type": ["above"]}]
BAD: list[dict[str, Any]] = [
    {"condition": {"type": "moon_phase", "phase": "full"}},
    {"condition": {"type": "above", "price": -1.0}},
    {"condition": {"type": "above", "price": 1.0, "by": 2}},
    {"condition": {"type": "all", "of": [{"type": "above", "price": 1.0}, {"type": "moon_phase"}]}},
    *({"condition": one} for one in NONSENSE),
    {"terms": {"repeat": "now and then"}},
    {"terms": {"quiet_hours": {"from": "22:00"}}},
    *({"terms": one} for one in NONSENSE),
    {"state": {"waiting": "perhaps"}},
    {"state": {"seen": {"1": "x"}}},
    {"terms": {"phase_of_moon": "full"}},
    *({"state": one} for one in NONSENSE[:3]),
]


def row(number: int = 1, **changed: Any) -> list[Any]:
    fields = {**GOOD, "id": number, **changed}
    return [fields[name] for name in NAMES]


@pytest.mark.parametrize("changed", BAD, ids=str)
def test_one_that_cannot_be_read_is_told_by_its_id(changed: dict[str, Any]) -> None:
    with pytest.raises(UnreadableRule, match=r"^rule 7 cannot be read and is not watched for: .") as caught:
        read_rule(row(7, **changed))
    assert caught.value.rule_id == 7
    assert "remove it" in caught.value.hint


def test_the_others_are_read_and_each_bad_one_is_logged_once() -> None:
    rows = [row(900_001), *(row(900_002 + number, **bad) for number, bad in enumerate(BAD)), row(900_999)]
    with capture_logs() as logged:
        for _ in range(3):
            found = read_rules(rows)
    assert [rule.id for rule in found.rules] == [900_001, 900_999]
    told = [900_002 + number for number in range(len(BAD))]
    assert [unreadable.rule_id for unreadable in found.unreadable] == told
    assert [entry["rule_id"] for entry in logged] == told
    assert {entry["log_level"] for entry in logged} == {"warning"}
