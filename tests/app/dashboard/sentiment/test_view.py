from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from app.dashboard.sentiment import html, plot, view
from app.dashboard.ui.style import DARK
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.sentiment.scoring import Source
from coinwatch.times import DAY_US
from warehouse.sentiment.reads import Article, DayOfSource, OutletRead, SourceAsked

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
    assert view.mood(value) == expected


def test_the_gauge_is_of_the_newest_day_with_the_change_since_the_one_before() -> None:
    found = view.gauge([day("news", 5), day("fear_greed", 30), day("fear_greed", 24, ago=1)])
    assert found == view.Gauge(30, "fear", TODAY, 6)
    alone = view.gauge([day("fear_greed", 130), day("fear_greed", 24, ago=2)])
    assert alone == view.Gauge(100, "extreme greed", TODAY, None)
    assert view.gauge([day("news", 5)]) is None
    shown = html.gauge(found)
    assert "rotate(-36.0deg)" in shown
    assert "+6 since the day before" in shown


def test_assets_are_listed_with_the_parts_of_their_scores() -> None:
    parts = [
        {"source": "news", "score": 0.5, "weight": 1.0, "items": 3, "of_market": False},
        {"source": "fear_greed", "score": -0.2, "weight": 2.0, "items": None, "of_market": True},
    ]
    good = day("combined", 0.4, base="BTC", score=0.4, parts=parts)
    bad = day("combined", -0.4, base="<b>", score=-0.4, parts="nonsense")
    assert view.bases([bad, good, day("fear_greed", 9)]) == (good, bad)
    assert [part.source for part in view.parts(good)] == ["fear_greed", "news"]
    assert view.parts(bad) == ()
    shown = html.assets([good, bad])
    assert "&lt;b&gt;" in shown
    assert "CoinGecko" not in shown
    assert "News <b>+0.50</b>" in shown


def article(url: str, score: float = 0.5) -> Article:
    return Article(
        published_at=NOW,
        source="news",
        outlet="A & B",
        title="<i>up</i>",
        url=url,
        score=score,
        bases=["BTC"],
        copies={"C": "https://c.example"},
    )


def test_news_link_to_the_web_only() -> None:
    shown = html.news([article("https://a.example/?x=1&y=2"), article("javascript:alert(1)")], 0)
    assert shown.count("<a ") == 1
    assert 'href="https://a.example/?x=1&amp;y=2"' in shown
    assert "javascript" not in shown
    assert "&lt;i&gt;up" in shown
    assert "and 1 more" in shown


def test_scores_are_drawn_by_source_and_what_only_counts_is_not() -> None:
    days = [day("combined", 0.1), day("news", 0.2, ago=1), day("x", 900, score=None)]
    drawn = plot.score_options(days, (), (), "BTC", DARK, str)
    assert [one["id"] for one in drawn["series"]] == ["price", "news", "combined"]
    assert drawn["series"][2]["lineStyle"]["width"] > drawn["series"][1]["lineStyle"]["width"]
    fear = plot.fear_options([day("fear_greed", 20), day("news", 0.1)], DARK, str)
    assert len(fear["series"][0]["data"]) == 1
    assert len(fear["visualMap"]["pieces"]) == 5
    bands = fear["series"][0]["markArea"]["data"]
    assert [low["name"] for low, _ in bands] == ["extreme fear", "fear", "neutral", "greed", "extreme greed"]
    assert (bands[0][0]["yAxis"], bands[-1][1]["yAxis"]) == (0, 100)


def test_price_and_scores_have_one_axis_of_time() -> None:
    days = [day("combined", 0.1, ago=3), day("combined", 0.1, ago=1)]
    market = [day("fear_greed", 20, ago=2, score=-0.6), day("gdelt", 1)]
    midnight_us = 1_795_132_800_000_000  # of TODAY
    closes = [candle(midnight_us - 9 * DAY_US), candle(midnight_us - 2 * DAY_US), candle(midnight_us)]
    drawn = plot.score_options(days, market, closes, "BTC", DARK, str)
    assert [one["id"] for one in drawn["series"]] == ["price", "fear_greed", "combined"]
    assert drawn["series"][1]["lineStyle"]["type"] == "dashed"
    above, below = drawn["xAxis"]
    ends = ((midnight_us - 3 * DAY_US) // 1_000, midnight_us // 1_000)
    assert (above["min"], above["max"]) == (below["min"], below["max"]) == ends
    assert len(drawn["series"][0]["data"]) == 2  # what was before the first score is left out


def candle(open_ts_us: int) -> Candle:
    return Candle(
        market=Market.canonical("kraken:BTC-USDT"),
        interval=Interval.D1,
        open_ts_us=open_ts_us,
        open=1.0,
        high=1.0,
        low=1.0,
        close=1.0,
        volume=1.0,
    )


def test_each_source_is_on_off_silent_or_waits() -> None:
    def asked(source: str, told: date | None) -> SourceAsked:
        return SourceAsked(source=source, asked_at=NOW, told_day=told, bases=3)

    found = view.states(
        [
            asked("fear_greed", TODAY),
            asked("gdelt", TODAY - timedelta(days=9)),
            asked("combined", TODAY),
            asked("x", None),
        ],
        {Source.REDDIT: "COINWATCH_A and COINWATCH_B", Source.TELEGRAM: "COINWATCH_C"},
        TODAY,
    )
    assert {one.source.value: one.kind for one in found} == {
        "fear_greed": "on",
        "gdelt": "silent",
        "news": "waiting",
        "coingecko_votes": "waiting",
        "x": "silent",
        "reddit": "off",
        "telegram": "off",
    }
    assert [one.kind for one in found][-2:] == ["off", "off"]
    outlet = OutletRead(outlet="A & B", asked_at=NOW, changed_at=NOW, articles=7)
    shown = html.sources(found, [outlet], UTC, 0)
    assert "set <code>COINWATCH_A</code> and <code>COINWATCH_B</code>" in shown
    assert "A &amp; B" in shown


def test_how_a_score_comes_about_adds_up() -> None:
    told = [
        {"source": "news", "score": 0.5, "weight": 1.0, "items": 3, "of_market": False},
        {"source": "fear_greed", "score": -0.2, "weight": 3.0, "items": None, "of_market": True},
    ]
    shown = html.combined(day("combined", -0.025, base="BTC", score=-0.025, parts=told), UTC)
    for words in ("75%", "25%", "+0.12", "\N{MINUS SIGN}0.15", "the whole market", "4.0"):
        assert words in shown


def test_news_are_chosen_by_their_tone() -> None:
    texts = [article("https://a.example", score) for score in (0.5, 0.0, -0.5)]
    assert [one.score for one in view.of_tone(texts, "any")] == [0.5, 0.0, -0.5]
    assert [one.score for one in view.of_tone(texts, "good")] == [0.5]
    assert [one.score for one in view.of_tone(texts, "bad")] == [-0.5]
    assert [one.score for one in view.of_tone(texts, "neither")] == [0.0]
