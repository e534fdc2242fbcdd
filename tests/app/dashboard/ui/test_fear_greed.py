"""The Fear & Greed gauge: its newest value, its levels, its drawing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from app.dashboard.ui import fear_greed
from app.dashboard.ui.fear_greed import Gauge
from warehouse.sentiment.reads import DayOfSource

TODAY = date(2026, 11, 20)


def day(source: str, value: float, *, ago: int = 0) -> DayOfSource:
    return DayOfSource(
        day=TODAY - timedelta(days=ago),
        base=None,
        source=source,
        score=0.1,
        value=value,
        scale="0..100",
        items=None,
        detail={},
        told_at=datetime(2026, 11, 20, 12, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "extreme fear"),
        (24, "extreme fear"),
        (25, "fear"),
        (50, "neutral"),
        (60, "greed"),
        (100, "extreme greed"),
    ],
)
def test_each_value_has_a_level(value: float, expected: str) -> None:
    assert fear_greed.level(value) == expected


def test_the_gauge_shows_the_newest_day_and_its_change() -> None:
    gauge = fear_greed.newest([day("news", 5), day("fear_greed", 30), day("fear_greed", 24, ago=1)])
    assert gauge == Gauge(30, "fear", TODAY, 6)
    shown = fear_greed.draw(gauge)
    assert "rotate(-36.0deg)" in shown
    assert "Fear &amp; Greed, 20 Nov, +6 since the day before" in shown
    assert 'href="sentiment?x=&lt;b&gt;"' in fear_greed.draw(gauge, link="sentiment?x=<b>")


def test_a_gauge_without_the_day_before_shows_no_change() -> None:
    gauge = fear_greed.newest([day("fear_greed", 130), day("fear_greed", 24, ago=2)])
    assert gauge == Gauge(100, "extreme greed", TODAY, None)
    assert "since" not in fear_greed.draw(gauge)
    assert fear_greed.newest([day("news", 5)]) is None
