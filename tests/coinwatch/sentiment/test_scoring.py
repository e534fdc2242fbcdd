"""Sentiment scores on one scale, and combined scores that can be recomputed from their parts."""

from __future__ import annotations

import random
from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.sentiment.scoring import (
    OF_MARKET,
    WEIGHTS,
    DayScore,
    Scale,
    SentimentSource,
    combine,
    from_percent,
    from_tone,
    parts_of,
    score_of,
    score_text,
)

DAY = date(2026, 11, 21)


def day_score(
    source: SentimentSource, score: float | None, base: str | None = "BTC", items: int | None = None
) -> DayScore:
    return DayScore(
        day=DAY, source=source, base=base, value=score, scale=Scale.UNIT, score=score, items=items
    )


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("Bitcoin surges past $100,000 as ETF inflows hit record", "Bitcoin price unchanged on Tuesday"),
        ("Block, Inc. buys shares of a trust", "Exchange hacked, $40M drained"),
        ("Solana rallies", "Solana slumps"),
        ("Price unchanged on Tuesday", "Outflows and liquidations weigh on Ether"),
        ("Token listed", "Token delisted after exploit"),
    ],
)
def test_better_headlines_score_higher(better: str, worse: str) -> None:
    assert score_text(better) > score_text(worse)


def test_terms_of_trading_are_neutral() -> None:
    for title in ("The next block", "A trust with shares", "Interest and security", "Proof of stake and gas"):
        assert score_text(title) == 0


@given(st.text(max_size=200))
def test_any_text_has_a_score(text: str) -> None:
    assert -1 <= score_text(text) <= 1


def test_scales() -> None:
    assert [from_percent(value) for value in (0, 25, 50, 100)] == [-1, -0.5, 0, 1]
    assert [from_tone(tone) for tone in (-100, -10, -2.5, 0, 3, 40)] == [-1, -1, -0.25, 0, 0.3, 1]


def test_parts_and_weights_are_visible() -> None:
    own = [
        day_score(SentimentSource.GDELT, -0.2),
        day_score(SentimentSource.NEWS, 0.5, items=5),
        day_score(SentimentSource.X, None),
    ]
    market = [day_score(SentimentSource.FEAR_GREED, -0.6, None), day_score(SentimentSource.GDELT, 0.9, None)]
    combined = combine(DAY, "BTC", own, market)
    assert combined is not None
    parts = {part.source: part for part in parts_of(combined.detail)}
    assert set(parts) == {SentimentSource.GDELT, SentimentSource.NEWS, SentimentSource.FEAR_GREED}, (
        "the market's tone is not the asset's"
    )
    assert parts[SentimentSource.NEWS].weight == WEIGHTS[SentimentSource.NEWS] / 2
    assert parts[SentimentSource.FEAR_GREED].weight == WEIGHTS[SentimentSource.FEAR_GREED] * OF_MARKET
    assert parts[SentimentSource.FEAR_GREED].of_market
    assert combined.items == 5
    weights = 2.0 + 1.5 + 1.0
    assert combined.score == pytest.approx((-0.2 * 2 + 0.5 * 1.5 - 0.6) / weights, abs=1e-6)


def test_market_scores_alone_make_no_score_of_an_asset() -> None:
    assert combine(DAY, "BTC", [], [day_score(SentimentSource.FEAR_GREED, 0.5, None)]) is None
    assert (
        combine(
            DAY,
            "BTC",
            [day_score(SentimentSource.X, None)],
            [day_score(SentimentSource.FEAR_GREED, 0.5, None)],
        )
        is None
    )
    of_market = combine(DAY, None, [day_score(SentimentSource.FEAR_GREED, 0.5, None)])
    assert of_market is not None
    assert of_market.score == 0.5


def test_a_combined_score_is_not_a_part_of_itself() -> None:
    assert combine(DAY, "BTC", [day_score(SentimentSource.COMBINED, 1.0)]) is None


scores = st.floats(-1, 1).map(lambda score: round(score, 6))
sources = st.sampled_from(sorted(WEIGHTS))


@given(
    st.dictionaries(sources, st.tuples(scores, st.none() | st.integers(0, 10**6)), min_size=1), st.randoms()
)
def test_it_is_recomputable_and_the_same_in_any_order(
    given_scores: dict[SentimentSource, tuple[float, int | None]], shuffler: random.Random
) -> None:
    own = [day_score(source, score, items=items) for source, (score, items) in given_scores.items()]
    combined = combine(DAY, "BTC", own)
    assert combined is not None
    assert combined.score is not None
    assert min(score.score or 0 for score in own) - 1e-6 <= combined.score
    assert combined.score <= max(score.score or 0 for score in own) + 1e-6
    stored = msgspec.json.decode(msgspec.json.encode(combined.detail))
    assert score_of(parts_of(stored)) == combined.score
    shuffler.shuffle(own)
    assert combine(DAY, "BTC", own) == combined
