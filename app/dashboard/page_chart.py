"""Chart: candles of one market with volume and moving averages, the last candle live."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from app.dashboard import chart, echarts, markup, overview, page, query
from app.dashboard.data import Source
from app.dashboard.style import palette
from app.dashboard.url import PageUrl
from coinwatch.intervals import Interval
from coinwatch.times import now_us
from warehouse.reads import DayStats, LastTrade, TradeRate, WatchedMarket

Row = TypeVar("Row", DayStats, LastTrade, TradeRate)

HEIGHT = "600px"
DEFAULT_RANGE = "1d"
_INTERVALS = (chart.AUTO, *(interval.value for interval in Interval))
_SUGGESTED = [
    str(chart.Overlay(kind, length)) for kind in ("SMA", "EMA") for length in (10, 20, 50, 100, 200)
]
_SHOWN = "chart_shown"


@dataclass(frozen=True)
class _Chosen:
    watched: WatchedMarket
    range_name: str
    interval: Interval
    overlays: tuple[chart.Overlay, ...]


def show(source: Source) -> None:
    """Draw the page."""
    markets = page.markets(source)
    heading, notices = st.container(), st.container()
    chosen, notes = _choose(markets)
    with notices:
        page.notice(" ".join(note for note in notes if note))
    market = chosen.watched.market
    st.set_page_config(page_title=f"{market.symbol} on {market.exchange} · Chart · Coinwatch")
    with heading:
        _quote(source, chosen.watched)
    _candles(source, chosen)


def _choose(markets: Sequence[WatchedMarket]) -> tuple[_Chosen, list[str]]:
    """The controls, what they say, and words about what had to be changed."""
    url = PageUrl("chart")
    notes: list[str] = []
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        known = page.symbols_of(markets)
        asked = query.symbol(url.one("symbol"), known)
        page.take(url, "symbol", query.Choice(str(asked.value), asked.note), notes)
        symbol = st.selectbox("Symbol", [str(one) for one in known], key="symbol", width=140)
        members = {
            watched.market.exchange: watched for watched in markets if str(watched.market.symbol) == symbol
        }
        exchanges = list(members)
        page.take(
            url, "exchange", query.one_of("exchange", url.one("exchange"), exchanges, exchanges[0]), notes
        )
        if st.session_state["exchange"] not in exchanges:
            st.session_state["exchange"] = exchanges[0]
        exchange = st.selectbox("Exchange", exchanges, key="exchange", width=120)
        ranges = tuple(chart.RANGES)
        page.take(url, "range", query.one_of("range", url.one("range"), ranges, DEFAULT_RANGE), notes)
        range_name = st.segmented_control(
            "Range", ranges, key="range", required=True, help="How far back from now."
        )
        page.take(url, "interval", query.one_of("candle", url.one("interval"), _INTERVALS, chart.AUTO), notes)
        length = st.segmented_control(
            "Candle", _INTERVALS, key="interval", required=True, help="Its length; auto picks one that fits."
        )
        overlays = query.overlays(url.all("overlays"))
        if url.fresh("overlays"):
            notes.append(overlays.note)
            st.session_state["overlays"] = [str(overlay) for overlay in overlays.value]
        typed = query.overlays(
            st.multiselect(
                "Overlays",
                dict.fromkeys([*_SUGGESTED, *st.session_state["overlays"]]),
                key="overlays",
                accept_new_options=True,
                max_selections=query.MOST_OVERLAYS,
                placeholder="SMA 20, EMA 50 …",
                width=280,
                help="Moving averages of closes, simple (SMA) or exponential (EMA), over so many candles. "
                "Other lengths can be typed.",
            )
        )
    range_name, length = range_name or DEFAULT_RANGE, length or chart.AUTO
    interval, word = chart.fitting(length, chart.RANGES[range_name])
    url.write(
        {
            "symbol": [symbol],
            "exchange": [exchange],
            "range": [range_name],
            "interval": [length],
            "overlays": [str(overlay) for overlay in typed.value],
        }
    )
    return _Chosen(members[exchange], range_name, interval, typed.value), [*notes, typed.note, word]


def _of(watched: WatchedMarket, rows: Iterable[Row] | None) -> Row | None:
    return next((row for row in rows or () if row.market_id == watched.market_id), None)


@page.live
def _quote(source: Source, watched: WatchedMarket) -> None:
    ids = [one.market_id for one in source.markets().known]
    latest, statistics = source.latest(ids), source.statistics(ids)
    slow = statistics.value
    trade = _of(watched, latest.value)
    day = _of(watched, slow.day if slow else None)
    rate = _of(watched, slow.rates if slow else None)
    at_us = now_us()
    seen: dict[int, overview.Shown] = st.session_state.setdefault(_SHOWN, {})
    trend, moved, stale = overview.Trend.FLAT, False, False
    if trade is not None:
        trend, moved = overview.direction(trade.price, seen.get(watched.market_id))
        seen[watched.market_id] = overview.Shown(trade.price, trend)
        stale = bool(latest.problem) or at_us - trade.ts_us > overview.patience_us(rate)
    line = markup.quote(watched.market, trade, day, trend, at_us, moved=moved, stale=stale)
    st.html(markup.wrap(line, frozen=stale))


@page.live
def _candles(source: Source, chosen: _Chosen) -> None:
    watched, interval, overlays = chosen.watched, chosen.interval, chosen.overlays
    range_us = chart.RANGES[chosen.range_name]
    warm_up = max((overlay.warm_up for overlay in overlays), default=0)
    history = source.history(watched, interval, range_us + warm_up * interval.us)
    tail = source.tail(watched, interval)
    page.trouble([tail, history])
    if history.value is None:
        st.html(markup.wrap(markup.empty("The warehouse cannot be read", *page.START)))
        return
    latest = source.latest([one.market_id for one in source.markets().known])
    candles = chart.splice(history.value.candles, tail.value or ())
    view = chart.build(
        chart.reach(candles, _of(watched, latest.value)),
        history.value.gaps,
        interval=interval,
        range_us=range_us,
        overlays=overlays,
        now_us=now_us(),
    )
    if view.last is None:
        st.html(
            markup.wrap(
                markup.empty(
                    f"No candles of {watched.market} yet",
                    "History is collected every few minutes, and the first live trade starts a candle here.",
                    *page.START,
                )
            )
        )
        return
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    st_echarts(
        echarts.options(view, palette(st.context.theme.type), JsCode),
        height=HEIGHT,
        replace_merge=["series"],
        key=f"candles {watched.market} {interval} {chosen.range_name}",
    )
    st.html(markup.wrap(markup.chart_notes(view)))
