"""Overview: a live card per symbol."""

from __future__ import annotations

import streamlit as st

from app.dashboard.data.source import DashboardReads
from app.dashboard.overview import html as overview_html
from app.dashboard.overview import market_table, reads
from app.dashboard.overview import view as overview_view
from app.dashboard.ui import fear_greed, page, problems, query, viewer
from app.dashboard.ui import html as ui_html
from app.dashboard.ui.url import PageUrl
from coinwatch import formats
from coinwatch.records import Symbol
from coinwatch.times import now_us

_SEEN = "overview_seen"


def show(source: DashboardReads) -> None:
    """Draw the page."""
    st.title("Overview", anchor=False)
    known = page.symbols_of(page.markets(source))
    url = PageUrl("overview")
    asked = query.symbols(url.get_all("symbols"), known)
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
    top = st.container()
    _cards(source, tuple(Symbol.canonical(text) for text in chosen), len(known))
    with top:
        _strip(source)
    _table(source)


@page.every(10)
def _strip(source: DashboardReads) -> None:
    """The top gainers and losers of all symbols, and the problems."""
    markets = source.markets().known
    ids = [watched.market_id for watched in markets]
    latest, statistics, health = source.latest(ids), source.statistics(ids), source.health()
    slow = statistics.value
    view = overview_view.build(
        markets,
        latest.value or (),
        averages=source.averages().value or (),
        day=slow.day if slow else (),
        rates=slow.rates if slow else (),
        now_us=now_us(),
    )
    current: tuple[problems.Problem, ...] | None = None
    if health.value is not None:
        known = health.value
        every = problems.find(known.streams, known.services, known.gaps, known.calls, (), now_us=now_us())
        current = tuple(problem for problem in every if problem.is_current)
    gainers, losers = overview_view.movers(view)
    fear = fear_greed.newest(source.latest_sentiment().value or ())
    gauge = fear_greed.draw(fear, link="sentiment") if fear else None
    st.html(ui_html.wrap(overview_html.strip(gainers, losers, current, gauge), frozen=bool(latest.problem)))


@page.every(15)
def _table(source: DashboardReads) -> None:
    """Every market, in a table of Streamlit with search, sorting and download.

    It is refreshed less often than the cards, which are live: it takes five times as long.
    """
    markets = source.markets().known
    ids = [watched.market_id for watched in markets]
    latest, statistics = source.latest(ids), source.statistics(ids)
    if not latest.value:
        return
    slow = statistics.value
    frame = market_table.build(
        markets,
        latest.value,
        slow.day if slow else (),
        slow.rates if slow else (),
        slow.streams if slow else (),
        reads.market_sparklines(source, ids).value or {},
        now_us(),
    )
    st.html(ui_html.wrap(ui_html.section("All markets"), frozen=bool(latest.problem)))
    st.dataframe(
        market_table.styled(frame, viewer.palette()),
        hide_index=True,
        key="markets_table",
        placeholder=formats.UNKNOWN,
        height=min(560, 38 + 35 * len(frame)),
        column_config={
            market_table.SYMBOL: st.column_config.LinkColumn(
                display_text=market_table.LINKED, help="Opens the chart"
            ),
            market_table.LINE: st.column_config.LineChartColumn(
                width="medium", help="Closing prices of 24 hours"
            ),
            market_table.CHANGE: st.column_config.NumberColumn(help="Change over 24 hours"),
            market_table.VOLUME: st.column_config.NumberColumn(help="24 hours, in the quote asset"),
            market_table.AGE: st.column_config.NumberColumn(help="Its age, by the clock of the exchange"),
        },
    )


@page.live
def _cards(source: DashboardReads, wanted: tuple[Symbol, ...], known: int) -> None:
    markets = source.markets()
    ids = [watched.market_id for watched in markets.known]
    if len(page.symbols_of(markets.known)) != known:
        st.rerun()
    latest = source.latest(ids)
    averages = source.averages()
    statistics = source.statistics(ids)
    sparklines = reads.sparklines(source, ids)
    frozen = page.show_problem([latest, markets, statistics, sparklines])
    if latest.value is None:
        st.html(ui_html.wrap(ui_html.empty("The warehouse cannot be read", *page.START)))
        return
    at_us = now_us()
    slow = statistics.value
    if not latest.value:
        reasons = overview_view.why_quiet(markets.known, slow.streams if slow else (), at_us)
        hints = reasons or ("Is the ingest daemon running?", *page.START)
        known_markets = f"{len(ids)} markets are watched; none of them has trades."
        title = "No trades in the last 24 hours"
        st.html(ui_html.wrap(ui_html.empty(title, known_markets, *hints)))
        return
    view = overview_view.build(
        markets.known,
        latest.value,
        averages=averages.value or (),
        day=slow.day if slow else (),
        rates=slow.rates if slow else (),
        streams=slow.streams if slow else (),
        sparklines=sparklines.value,
        seen=st.session_state.get(_SEEN),
        wanted=wanted,
        now_us=at_us,
    )
    st.session_state[_SEEN] = overview_view.remember(view, st.session_state.get(_SEEN, {}))
    st.html(ui_html.wrap(overview_html.overview(view, at_us, viewer.zone()), frozen=frozen))
