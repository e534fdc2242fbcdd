from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from app.dashboard.sentiment import html, plot, view
from app.dashboard.ui.style import DARK
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.sentiment.scoring import SentimentSource
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


def test_assets_are_listed_with_the_parts_of_their_scores() -> None:
    parts = [
        {"source": "news", "score": 0.5, "weight": 1.0, "items": 3, "of_market": False},
        {"source": "fear_greed", "score": -0.2, "weight": 2.0, "items": None, "of_market": True},
    ]
    good = day("combined", 0.4, base="BTC", score=0.4, parts=parts)
    bad = day("combined", -0.4, base="<b>", score=-0.4, parts="unreadable")
    assert view.bases([bad, good, day("fear_greed", 9)]) == (good, bad)
    assert [part.source for part in view.parts(good)] == ["fear_greed", "news"]
    assert view.parts(bad) == ()
    shown = html.scores([good, bad])
    assert "&lt;b&gt;" in shown
    assert "CoinGecko" not in shown
    assert "News <b>+0.50</b>" in shown


def news(url: str, score: float = 0.5) -> Article:
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


def test_news_link_to_web_addresses_only() -> None:
    shown = html.news([news("https://a.example/?x=1&y=2"), news("javascript:alert(1)")], 0)
    assert shown.count("<a ") == 1
    assert 'href="https://a.example/?x=1&amp;y=2"' in shown
    assert "javascript" not in shown
    assert "&lt;i&gt;up" in shown
    assert "and 1 more" in shown


def test_scores_are_drawn_by_source_without_counts() -> None:
    days = [day("combined", 0.1), day("news", 0.2, ago=1), day("x", 900, score=None)]
    drawn = plot.score_options(days, (), (), "BTC", DARK, str)
    assert [line["id"] for line in drawn["series"]] == ["price", "news", "combined"]
    assert drawn["series"][2]["lineStyle"]["width"] > drawn["series"][1]["lineStyle"]["width"]
    fear = plot.fear_options([day("fear_greed", 20), day("news", 0.1)], DARK, str)
    assert len(fear["series"][0]["data"]) == 1
    assert len(fear["visualMap"]["pieces"]) == 5
    bands = fear["series"][0]["markArea"]["data"]
    assert [low["name"] for low, _ in bands] == ["extreme fear", "fear", "neutral", "greed", "extreme greed"]
    assert (bands[0][0]["yAxis"], bands[-1][1]["yAxis"]) == (0, 100)


def test_price_and_scores_share_a_time_axis() -> None:
    days = [day("combined", 0.1, ago=3), day("combined", 0.1, ago=1)]
    market = [day("fear_greed", 20, ago=2, score=-0.6), day("gdelt", 1)]
    midnight_us = 1_795_132_800_000_000  # of TODAY
    closes = [candle(midnight_us - 9 * DAY_US), candle(midnight_us - 2 * DAY_US), candle(midnight_us)]
    drawn = plot.score_options(days, market, closes, "BTC", DARK, str)
    assert [line["id"] for line in drawn["series"]] == ["price", "fear_greed", "combined"]
    assert drawn["series"][1]["lineStyle"]["type"] == "dashed"
    above, below = drawn["xAxis"]
    ends = ((midnight_us - 3 * DAY_US) // 1_000, midnight_us // 1_000)
    assert (above["min"], above["max"]) == (below["min"], below["max"]) == ends
    assert len(drawn["series"][0]["data"]) == 2  # closes before the first score are left out


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


def test_each_source_is_on_off_stale_or_pending() -> None:
    def poll(source: str, newest: date | None) -> SourceAsked:
        return SourceAsked(source=source, asked_at=NOW, reported_day=newest, bases=3)

    states = view.source_states(
        [
            poll("fear_greed", TODAY),
            poll("gdelt", TODAY - timedelta(days=9)),
            poll("combined", TODAY),
            poll("x", None),
        ],
        {SentimentSource.REDDIT: "COINWATCH_A and COINWATCH_B", SentimentSource.TELEGRAM: "COINWATCH_C"},
        TODAY,
    )
    assert {state.source.value: state.state for state in states} == {
        "fear_greed": "on",
        "gdelt": "stale",
        "news": "pending",
        "coingecko_votes": "pending",
        "x": "stale",
        "reddit": "off",
        "telegram": "off",
    }
    assert [state.state for state in states][-2:] == ["off", "off"]
    feed = OutletRead(outlet="A & B", asked_at=NOW, changed_at=NOW, articles=7)
    shown = html.sources(states, [feed], UTC, 0)
    assert "set <code>COINWATCH_A</code> and <code>COINWATCH_B</code>" in shown
    assert "A &amp; B" in shown


def test_the_parts_of_a_combined_score_add_up() -> None:
    parts = [
        {"source": "news", "score": 0.5, "weight": 1.0, "items": 3, "of_market": False},
        {"source": "fear_greed", "score": -0.2, "weight": 3.0, "items": None, "of_market": True},
    ]
    shown = html.combined(day("combined", -0.025, base="BTC", score=-0.025, parts=parts), UTC)
    for words in ("75%", "25%", "+0.12", "\N{MINUS SIGN}0.15", "the whole market", "4.0"):
        assert words in shown


def test_news_are_filtered_by_tone() -> None:
    texts = [news("https://a.example", score) for score in (0.5, 0.0, -0.5)]
    assert [article.score for article in view.of_tone(texts, "any")] == [0.5, 0.0, -0.5]
    assert [article.score for article in view.of_tone(texts, "good")] == [0.5]
    assert [article.score for article in view.of_tone(texts, "bad")] == [-0.5]
    assert [article.score for article in view.of_tone(texts, "neither")] == [0.0]


HOSTILE = "<script>alert('1')</script>\""


def test_hostile_values_are_escaped() -> None:
    article = msgspec.structs.replace(
        news(f"https://a.example/{HOSTILE}"),
        title=HOSTILE,
        outlet=HOSTILE,
        bases=[HOSTILE],
        copies={HOSTILE: HOSTILE},
    )
    part = {"source": "news", "score": 0.5, "weight": 1.0, "items": 3, "of_market": False}
    row = msgspec.structs.replace(day("combined", 0.4, base=HOSTILE), detail={"parts": [part]})
    feed = OutletRead(outlet=HOSTILE, asked_at=NOW, changed_at=NOW, articles=7)
    off = view.source_states([], {SentimentSource.X: HOSTILE}, TODAY)
    for shown in (
        html.news([article], 0),
        html.scores([row]),
        html.combined(row, UTC),
        html.sources(off, [feed], UTC, 0),
    ):
        assert "<script" not in shown
        assert "&lt;script&gt;" in shown
