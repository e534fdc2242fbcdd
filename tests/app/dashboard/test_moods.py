from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from app.dashboard import markup_sentiment, moods
from app.dashboard.style import DARK
from warehouse.reads_sentiment import Article, DayOfSource

TODAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def day(
    source: str,
    value: float,
    *,
    ago: int = 0,
    base: str | None = None,
    score: float | None = 0.1,
    **detail: Any,
) -> DayOfSource:
    return DayOfSource(
        day=TODAY - timedelta(days=ago),
        base=base,
        source=source,
        score=score,
        value=value,
        scale="0..100",
        items=3,
        detail=detail,
        told_at=NOW,
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
def test_moods_in_words(value: float, expected: str) -> None:
    assert moods.mood(value) == expected


def test_the_gauge_is_of_the_newest_day_with_the_change_since_the_one_before() -> None:
    found = moods.gauge([day("news", 5), day("fear_greed", 30), day("fear_greed", 24, ago=1)])
    assert found == moods.Gauge(30, "fear", TODAY, 6)
    alone = moods.gauge([day("fear_greed", 130), day("fear_greed", 24, ago=2)])
    assert alone == moods.Gauge(100, "extreme greed", TODAY, None)
    assert moods.gauge([day("news", 5)]) is None
    shown = markup_sentiment.gauge(found)
    assert "rotate(-36.0deg)" in shown
    assert "+6 since the day before" in shown


def test_assets_are_listed_with_the_parts_of_their_scores() -> None:
    parts = [
        {"source": "news", "score": 0.5, "weight": 1.0, "items": 3, "of_market": False},
        {"source": "fear_greed", "score": -0.2, "weight": 2.0, "items": None, "of_market": True},
    ]
    good = day("combined", 0.4, base="BTC", score=0.4, parts=parts)
    bad = day("combined", -0.4, base="<b>", score=-0.4, parts="nonsense")
    assert moods.bases([bad, good, day("fear_greed", 9)]) == (good, bad)
    assert [part.source for part in moods.parts(good)] == ["fear_greed", "news"]
    assert moods.parts(bad) == ()
    shown = markup_sentiment.assets([good, bad])
    assert "&lt;b&gt;" in shown
    assert "CoinGecko" not in shown
    assert "News <b>+0.50</b>" in shown


def test_news_link_to_the_web_only() -> None:
    def article(url: str) -> Article:
        return Article(
            published_at=NOW,
            source="news",
            outlet="A & B",
            title="<i>up</i>",
            url=url,
            score=0.5,
            bases=["BTC"],
            copies={"C": "https://c.example"},
        )

    shown = markup_sentiment.news([article("https://a.example/?x=1&y=2"), article("javascript:alert(1)")], 0)
    assert shown.count("<a ") == 1
    assert 'href="https://a.example/?x=1&amp;y=2"' in shown
    assert "javascript" not in shown
    assert "&lt;i&gt;up" in shown
    assert "and 1 more" in shown


def test_scores_are_drawn_by_source_and_what_only_counts_is_not() -> None:
    days = [day("combined", 0.1), day("news", 0.2, ago=1), day("x", 900, score=None)]
    drawn = moods.score_options(days, (), "BTC", DARK, str)
    assert [one["id"] for one in drawn["series"]] == ["price", "news", "combined"]
    assert drawn["series"][2]["lineStyle"]["width"] > drawn["series"][1]["lineStyle"]["width"]
    fear = moods.fear_options([day("fear_greed", 20), day("news", 0.1)], DARK, str)
    assert len(fear["series"][0]["data"]) == 1
    assert len(fear["visualMap"]["pieces"]) == 5
