"""The controls of the Data page: view, market, days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

import streamlit as st

from app.dashboard.ui import page, query
from app.dashboard.ui.url import PageUrl
from coinwatch.times import now_us, utc_day
from warehouse.candles.chart_reads import WatchedMarket

DAYS = {"1w": 7, "1mo": 30, "3mo": 90, "1y": 365}
DEFAULT_DAYS = "1mo"
COMPLETENESS, CHECKS, GAPS, STREAMS = "Completeness", "Checks", "Interruptions", "Streams"
RUNS, STORAGE, OUTLETS, ERRORS = "Runs", "Storage", "Outlets", "Errors"
VIEWS = (COMPLETENESS, CHECKS, GAPS, STREAMS, RUNS, STORAGE, OUTLETS, ERRORS)
LABELS = {GAPS: "Stream gaps"}
"""Labels of the views that are not shown by their name in addresses."""
OF_MARKETS = (COMPLETENESS, CHECKS, GAPS, STREAMS)
ALL, EVERY_DAY = "all", "every day"
_PICKED, _PICKED_DAY = "data_picked", "data_picked_day"


class Choice(NamedTuple):
    """What the viewer chose."""

    view: str
    days: str
    market: str
    """A market, an exchange, a symbol or ``ALL``."""
    day: date | None
    """A day of a single market to show minute by minute."""
    notes: list[str]


def choose(markets: Sequence[WatchedMarket]) -> Choice:
    """Draw the controls, and write the choice to the address."""
    url = PageUrl("data")
    notes: list[str] = []
    single = {str(watched.market) for watched in markets}
    market, days, day = ALL, DEFAULT_DAYS, EVERY_DAY
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        page.preset(url, "data_view", query.option("view", url.get("view"), VIEWS, COMPLETENESS), notes)
        view = (
            st.pills(
                "View",
                VIEWS,
                format_func=lambda name: LABELS.get(name, name),
                key="data_view",
                required=True,
                wrap=True,
            )
            or COMPLETENESS
        )
        options = _filters(markets)
        if (picked := st.session_state.pop(_PICKED, None)) in options:
            st.session_state["data_market"] = picked
        else:
            asked = query.option("market", url.get("market"), options, ALL)
            page.preset(url, "data_market", asked, notes)
        if st.session_state.get("data_market") not in options:
            st.session_state["data_market"] = ALL
        if view in OF_MARKETS:
            market = st.selectbox(
                "Market",
                options,
                key="data_market",
                width=210,
                help="A market, or all markets of an exchange or a symbol.",
            )
        page.preset(url, "data_days", query.option("days", url.get("days"), tuple(DAYS), DEFAULT_DAYS), notes)
        if view == COMPLETENESS:
            days = st.segmented_control("Days", tuple(DAYS), key="data_days", required=True) or DEFAULT_DAYS
            if market in single:
                day = _choose_day(url, DAYS[days], notes)
    url.write(
        {
            "view": [view],
            "market": [market] if market != ALL else [],
            "days": [days] if view == COMPLETENESS else [],
            "day": [day] if day != EVERY_DAY else [],
        }
    )
    return Choice(view, days, market, None if day == EVERY_DAY else date.fromisoformat(day), notes)


def _choose_day(url: PageUrl, days: int, notes: list[str]) -> str:
    today = utc_day(now_us())
    options = [EVERY_DAY, *((today - timedelta(days=n)).isoformat() for n in range(max(DAYS.values())))]
    if (picked := st.session_state.pop(_PICKED_DAY, None)) in options:
        st.session_state["data_day"] = picked
    else:
        page.preset(url, "data_day", query.option("day", url.get("day"), options, EVERY_DAY), notes)
    if st.session_state.get("data_day") not in options:
        st.session_state["data_day"] = EVERY_DAY
    shown = [EVERY_DAY, *options[1 : days + 1]]
    if st.session_state["data_day"] not in shown:
        shown.append(st.session_state["data_day"])
    chosen: str = st.selectbox(
        "Day", shown, key="data_day", width=150, help="A UTC day minute by minute, or all days."
    )
    return chosen


def names(watched: WatchedMarket) -> tuple[str, str, str]:
    """The filters that match a market."""
    return watched.market.exchange, str(watched.market.symbol), str(watched.market)


def _filters(markets: Sequence[WatchedMarket]) -> list[str]:
    exchanges = sorted({watched.market.exchange for watched in markets})
    symbols = map(str, page.symbols_of(markets))
    return [ALL, *exchanges, *symbols, *(str(watched.market) for watched in markets)]


def pick(market: str, day: date) -> None:
    """Choose a market and a day at the next run."""
    st.session_state[_PICKED] = market
    st.session_state[_PICKED_DAY] = day.isoformat()
