"""Rows of alert rules written by a newer version or by hand."""

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
MALFORMED: list[object] = [[1], "above", 7, {"type": ["above"]}]
BAD: list[dict[str, Any]] = [
    {"condition": {"type": "moon_phase", "phase": "full"}},
    {"condition": {"type": "above", "price": -1.0}},
    {"condition": {"type": "above", "price": 1.0, "by": 2}},
    {"condition": {"type": "all", "of": [{"type": "above", "price": 1.0}, {"type": "moon_phase"}]}},
    *({"condition": malformed} for malformed in MALFORMED),
    {"terms": {"repeat": "now and then"}},
    {"terms": {"quiet_hours": {"from": "22:00"}}},
    *({"terms": malformed} for malformed in MALFORMED),
    {"state": {"waiting": "perhaps"}},
    {"state": {"seen": {"1": "x"}}},
    {"terms": {"phase_of_moon": "full"}},
    *({"state": malformed} for malformed in MALFORMED[:3]),
]


def row(number: int = 1, **changed: Any) -> list[Any]:
    fields = {**GOOD, "id": number, **changed}
    return [fields[name] for name in NAMES]


@pytest.mark.parametrize("changed", BAD, ids=str)
def test_unreadable_rules_are_reported_by_id(changed: dict[str, Any]) -> None:
    with pytest.raises(UnreadableRule, match=r"^rule 7 cannot be read and is ignored: .") as caught:
        read_rule(row(7, **changed))
    assert caught.value.rule_id == 7
    assert "remove it" in caught.value.hint


def test_each_unreadable_rule_is_logged_once_and_others_are_read() -> None:
    rows = [row(900_001), *(row(900_002 + number, **bad) for number, bad in enumerate(BAD)), row(900_999)]
    with capture_logs() as logged:
        for _ in range(3):
            stored = read_rules(rows)
    assert [rule.id for rule in stored.rules] == [900_001, 900_999]
    logged_ids = [900_002 + number for number in range(len(BAD))]
    assert [unreadable.rule_id for unreadable in stored.unreadable] == logged_ids
    assert [entry["rule_id"] for entry in logged] == logged_ids
    assert {entry["log_level"] for entry in logged} == {"warning"}
