"""Sentiment: Fear & Greed, what sources say of each asset beside its price, and the news."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.dashboard import markup, markup_sentiment, moods, page, query
from app.dashboard.data import Source
from app.dashboard.style import palette
from app.dashboard.url import PageUrl
from coinwatch.intervals import Interval
from coinwatch.times import DAY_US, now_us
from warehouse.reads import WatchedMarket
from warehouse.reads_sentiment import DayOfSource

DEFAULT_RANGE = "3mo"
MOST_PRICE_DAYS = 2_000
_NONE_YET = (
    "Dagster asks for Fear & Greed, the tone of the news and news feeds every day; none of them needs a key.",
    "`coinwatch status` says whether it runs, the Data page what its last runs did.",
)


def show(source: Source) -> None:
    """Draw the page."""
    st.title("Sentiment", anchor=False)
    reading = source.moods()
    if not reading.value:
        _wait(source)
        return
    page.trouble([reading])
    scored = moods.bases(reading.value)
    base, length, notes = _choose(scored)
    page.notice(" ".join(note for note in notes if note))
    name = base or "market"
    st.set_page_config(page_title=f"{name} · Sentiment · Coinwatch")
    days = source.day_scores(base, moods.RANGES[length])
    market = source.day_scores(None, moods.RANGES[length])
    page.trouble([days, market])
    if found := moods.gauge(reading.value):
        st.html(markup.wrap(f'<div class="cw-strip">{markup_sentiment.gauge(found)}</div>'))
    if base is None:
        _fear(market.value or (), length)
    else:
        _scores(source, base, days.value or (), length)
    if scored:
        st.html(
            markup.wrap('<h2 class="cw-section">Assets, newest scores</h2>', markup_sentiment.assets(scored))
        )
    _news(source, base)


@page.every(5)
def _wait(source: Source) -> None:
    reading = source.moods()
    if reading.value:
        st.rerun(scope="app")
    page.trouble([reading])
    title = "The warehouse cannot be read" if reading.problem else "Nothing is known of sentiment yet"
    st.html(markup.wrap(markup.empty(title, *_NONE_YET)))


def _choose(scored: Sequence[DayOfSource]) -> tuple[str | None, str, list[str]]:
    url = PageUrl("sentiment")
    notes: list[str] = []
    options = [moods.MARKET, *sorted(one.base for one in scored if one.base)]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        page.take(url, "sentiment_base", query.one_of("asset", url.one("base"), options, moods.MARKET), notes)
        if st.session_state["sentiment_base"] not in options:
            st.session_state["sentiment_base"] = moods.MARKET
        base = st.selectbox("Of", options, key="sentiment_base", width=190)
        ranges = tuple(moods.RANGES)
        page.take(
            url, "sentiment_range", query.one_of("range", url.one("range"), ranges, DEFAULT_RANGE), notes
        )
        length = st.segmented_control("Range", ranges, key="sentiment_range", required=True) or DEFAULT_RANGE
    url.write({"base": [base] if base != moods.MARKET else [], "range": [length]})
    return (None if base == moods.MARKET else base), length, notes


def _fear(days: Sequence[DayOfSource], length: str) -> None:
    if not any(one.source == "fear_greed" for one in days):
        return
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    st_echarts(
        moods.fear_options(days, palette(st.context.theme.type), JsCode), height="280px", key=f"fear {length}"
    )


def _scores(source: Source, base: str, days: Sequence[DayOfSource], length: str) -> None:
    if not days:
        words = "No source told anything of it in this range."
        st.html(markup.wrap(markup.empty(f"No scores of {base}", words)))
        return
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    market = _market_of(source, base)
    prices = None
    if market is not None:
        range_us = min(moods.RANGES[length], MOST_PRICE_DAYS) * DAY_US
        prices = source.history(market, Interval.D1, range_us).value
    st_echarts(
        moods.score_options(
            days, prices.candles if prices else (), base, palette(st.context.theme.type), JsCode
        ),
        height="480px",
        replace_merge=["series"],
        key=f"scores {base} {length}",
    )
    told = f"Price: daily closes of {market.market}. " if market is not None else ""
    counts = [one for one in days if one.score is None and one.day == days[-1].day]
    seen = "".join(f" {moods.name_of(one.source)}: {one.value:,.0f} {one.scale}." for one in counts)
    st.html(markup.wrap(f'<p class="cw-notes">{told}Scores are of UTC days.{seen}</p>'))


def _market_of(source: Source, base: str) -> WatchedMarket | None:
    """The market of the asset with the most volume in a day."""
    markets = source.markets().value or ()
    members = [one for one in markets if one.market.symbol.base == base]
    statistics = source.statistics([one.market_id for one in markets]).value
    volumes = {day.market_id: day.quote_volume for day in statistics.day} if statistics else {}
    return max(members, key=lambda one: volumes.get(one.market_id, 0.0), default=None)


@page.every(30)
def _news(source: Source, base: str | None) -> None:
    reading = source.news(base)
    title = f"News of {base}" if base else "News"
    if reading.value:
        words = markup_sentiment.news(reading.value, now_us())
        st.html(markup.wrap(f'<h2 class="cw-section">{title}</h2>', words, frozen=bool(reading.problem)))
    elif reading.problem is None:
        st.html(
            markup.wrap(
                f'<h2 class="cw-section">{title}</h2>',
                markup.empty("No news yet", "Feeds are read every hour; what names the asset appears here."),
            )
        )
