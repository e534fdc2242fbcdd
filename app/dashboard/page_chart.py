"""Chart: candles of one market with volume and moving averages, the last candle live."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import streamlit as st
from streamlit_echarts import st_echarts

from app.dashboard import chart, echarts, markup, overview, page, query
from app.dashboard.data import Source
from app.dashboard.style import palette
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


def show(source: Source) -> None:
    """Draw the page."""
    markets = page.markets(source)
    heading = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        watched = _choose_market(markets)
        range_name = _choose("range", "Range", tuple(chart.RANGES), DEFAULT_RANGE, "How far back, to now.")
        chosen = _choose(
            "interval", "Candle", _INTERVALS, chart.AUTO, "Length of a candle; auto picks one that fits."
        )
        overlays = _choose_overlays()
    market = watched.market
    st.set_page_config(page_title=f"{market.symbol} on {market.exchange} · Chart · Coinwatch")
    interval, word = chart.fitting(chosen, chart.RANGES[range_name])
    page.notice(word)
    with heading:
        _quote(source, watched)
    _candles(source, watched, interval, range_name, overlays)


def _choose_market(markets: Sequence[WatchedMarket]) -> WatchedMarket:
    known = page.symbols_of(markets)
    raw = st.query_params.get("symbol")
    choice = query.symbol(raw, known)
    page.url_choice("symbol", query.Choice(str(choice.value), choice.note), raw)
    symbol = st.selectbox("Symbol", [str(one) for one in known], key="symbol", bind="query-params", width=150)
    members = [watched for watched in markets if str(watched.market.symbol) == symbol]
    exchanges = [watched.market.exchange for watched in members]
    raw = st.query_params.get("exchange")
    page.url_choice("exchange", query.one_of("exchange", raw, exchanges, exchanges[0]), raw)
    exchange = st.selectbox("Exchange", exchanges, key="exchange", bind="query-params", width=130)
    return next(watched for watched in members if watched.market.exchange == exchange)


def _choose(key: str, title: str, options: Sequence[str], default: str, help_text: str) -> str:
    raw = st.query_params.get(key)
    page.url_choice(key, query.one_of(title.lower(), raw, options, default), raw)
    chosen = st.segmented_control(
        title, options, default=default, key=key, help=help_text, bind="query-params", required=True
    )
    return chosen or default


def _choose_overlays() -> tuple[chart.Overlay, ...]:
    asked = query.overlays(st.query_params.get_all("overlays"))
    if asked.note:
        page.notice(asked.note)
        st.session_state["overlays"] = [str(overlay) for overlay in asked.value]
    chosen = st.multiselect(
        "Overlays",
        _SUGGESTED,
        key="overlays",
        bind="query-params",
        accept_new_options=True,
        max_selections=query.MOST_OVERLAYS,
        placeholder="SMA 20, EMA 50 …",
        width=300,
        help="Moving averages of closes: simple (SMA) or exponential (EMA), over so many candles. "
        "Other lengths can be typed.",
    )
    typed = query.overlays(chosen)
    page.notice(typed.note)
    return typed.value


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
def _candles(
    source: Source,
    watched: WatchedMarket,
    interval: Interval,
    range_name: str,
    overlays: tuple[chart.Overlay, ...],
) -> None:
    warm_up = max((overlay.warm_up for overlay in overlays), default=0)
    history = source.history(watched, interval, chart.RANGES[range_name] + warm_up * interval.us)
    tail = source.tail(watched, interval)
    page.trouble([tail, history])
    if history.value is None:
        st.html(markup.wrap(markup.empty("The warehouse cannot be read", *page.START)))
        return
    view = chart.build(
        chart.splice(history.value.candles, tail.value or ()),
        history.value.gaps,
        interval=interval,
        range_us=chart.RANGES[range_name],
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
    st_echarts(
        echarts.options(view, palette(st.context.theme.type)),
        height=HEIGHT,
        replace_merge=["series"],
        key=f"candles {watched.market} {interval} {range_name}",
    )
    st.html(markup.wrap(markup.chart_notes(view)))
