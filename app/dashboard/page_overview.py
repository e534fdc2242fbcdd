"""Overview: a live card per symbol."""

from __future__ import annotations

import streamlit as st

from app.dashboard import markup, overview, page, query
from app.dashboard.data import Source
from app.dashboard.url import PageUrl
from coinwatch.records import Symbol
from coinwatch.times import now_us

_SHOWN = "overview_shown"


def show(source: Source) -> None:
    """Draw the page."""
    st.title("Overview", anchor=False)
    known = page.symbols_of(page.markets(source))
    url = PageUrl("overview")
    asked = query.symbols(url.all("symbols"), known)
    if url.fresh("symbols"):
        page.notice(asked.note)
        st.session_state["symbols"] = [str(symbol) for symbol in asked.value]
    chosen = st.multiselect(
        "Symbols",
        [str(symbol) for symbol in known],
        key="symbols",
        placeholder="All symbols",
        label_visibility="collapsed",
        width=420,
    )
    url.write({"symbols": chosen})
    _cards(source, tuple(Symbol.canonical(text) for text in chosen), len(known))


@page.live
def _cards(source: Source, wanted: tuple[Symbol, ...], known: int) -> None:
    markets = source.markets()
    ids = [watched.market_id for watched in markets.known]
    if len(page.symbols_of(markets.known)) != known:
        st.rerun()
    latest = source.latest(ids)
    averages = source.averages()
    statistics = source.statistics(ids)
    sparklines = source.sparklines(ids)
    frozen = page.trouble([latest, markets, statistics, sparklines])
    if latest.value is None:
        st.html(markup.wrap(markup.empty("The warehouse cannot be read", *page.START)))
        return
    at_us = now_us()
    slow = statistics.value
    if not latest.value:
        reasons = overview.why_quiet(markets.known, slow.streams if slow else (), at_us)
        advice = reasons or ("Is the ingest daemon running?", *page.START)
        known_markets = f"{len(ids)} markets are known, none of them trades."
        title = "No trade has arrived in the last 24 hours"
        st.html(markup.wrap(markup.empty(title, known_markets, *advice)))
        return
    view = overview.build(
        markets.known,
        latest.value,
        averages=averages.value or (),
        day=slow.day if slow else (),
        rates=slow.rates if slow else (),
        streams=slow.streams if slow else (),
        sparklines=sparklines.value,
        shown=st.session_state.get(_SHOWN),
        wanted=wanted,
        now_us=at_us,
    )
    st.session_state[_SHOWN] = overview.remember(view, st.session_state.get(_SHOWN, {}))
    st.html(markup.wrap(markup.overview(view, at_us), frozen=frozen))
