"""Data: how complete the warehouse is, what broke and was mended, and who works on it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import streamlit as st

from app.dashboard import completeness, completeness_plot, markup, markup_data, page, query, troubles
from app.dashboard.data import Coverage, Health, Source
from app.dashboard.reader import Reading
from app.dashboard.style import palette
from app.dashboard.url import PageUrl
from coinwatch.times import now_us
from warehouse.dagster import Run
from warehouse.reads import WatchedMarket

DAYS = {"1w": 7, "1mo": 30, "3mo": 90, "1y": 365}
DEFAULT_DAYS = "1mo"
COMPLETENESS, STREAMS, GAPS, RUNS, ERRORS = "Completeness", "Streams", "Interruptions", "Runs", "Errors"
VIEWS = (COMPLETENESS, STREAMS, GAPS, RUNS, ERRORS)
ALL = "all"
_PICKED = "data_picked"
_CLICK = "data_click"


def show(source: Source) -> None:
    """Draw the page."""
    st.title("Data", anchor=False)
    markets = page.markets(source)
    notices = st.container()
    _facts(source, markets)
    view, days, wanted, notes = _choose(markets)
    with notices:
        page.notice(" ".join(note for note in notes if note))
    st.set_page_config(page_title=f"{view} · Data · Coinwatch")
    shown = [
        one
        for one in markets
        if wanted in (ALL, one.market.exchange, str(one.market.symbol), str(one.market))
    ]
    if view == COMPLETENESS:
        _completeness(source, shown, DAYS[days])
    elif view == STREAMS:
        _streams(source, shown)
    elif view == GAPS:
        _gaps(source, shown)
    elif view == RUNS:
        _runs(source)
    else:
        _errors(source)


def _choose(markets: Sequence[WatchedMarket]) -> tuple[str, str, str, list[str]]:
    url = PageUrl("data")
    notes: list[str] = []
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        page.take(url, "data_view", query.one_of("view", url.one("view"), VIEWS, COMPLETENESS), notes)
        view = st.segmented_control("Show", VIEWS, key="data_view", required=True) or COMPLETENESS
        options = _filters(markets)
        if (picked := st.session_state.pop(_PICKED, None)) in options:
            st.session_state["data_market"] = picked
        else:
            asked = query.one_of("market", url.one("market"), options, ALL)
            page.take(url, "data_market", asked, notes)
        if st.session_state.get("data_market") not in options:
            st.session_state["data_market"] = ALL
        wanted = ALL
        if view in (COMPLETENESS, STREAMS, GAPS):
            wanted = st.selectbox(
                "Of",
                options,
                key="data_market",
                width=210,
                help="One market, or all of an exchange or a symbol.",
            )
        page.take(url, "data_days", query.one_of("days", url.one("days"), tuple(DAYS), DEFAULT_DAYS), notes)
        days = DEFAULT_DAYS
        if view == COMPLETENESS:
            days = st.segmented_control("Days", tuple(DAYS), key="data_days", required=True) or DEFAULT_DAYS
    url.write(
        {
            "view": [view],
            "market": [wanted] if wanted != ALL else [],
            "days": [days] if view == COMPLETENESS else [],
        }
    )
    return view, days, wanted, notes


def _filters(markets: Sequence[WatchedMarket]) -> list[str]:
    exchanges = sorted({one.market.exchange for one in markets})
    return [ALL, *exchanges, *map(str, page.symbols_of(markets)), *(str(one.market) for one in markets)]


def _known(source: Source, health: Health) -> tuple[tuple[troubles.Trouble, ...], Reading[tuple[Run, ...]]]:
    runs = source.runs()
    found = troubles.find(
        health.streams, health.services, health.gaps, health.calls, runs.value or (), now_us=now_us()
    )
    return found, runs


def _ids(markets: Sequence[WatchedMarket]) -> list[int]:
    return [one.market_id for one in markets]


@page.every(2)
def _facts(source: Source, markets: Sequence[WatchedMarket]) -> None:
    health = source.health()
    coverage = source.coverage(_ids(markets), DAYS[DEFAULT_DAYS])
    frozen = page.trouble([health, coverage])
    if health.value is None or coverage.value is None:
        return
    whole = _build(markets, coverage.value).whole
    found, _ = _known(source, health.value)
    line = markup_data.facts(whole, health.value.streams, health.value.gaps, found)
    st.html(markup.wrap(line, frozen=frozen))


@page.every(10)
def _completeness(source: Source, markets: Sequence[WatchedMarket], days: int) -> None:
    coverage = source.coverage(_ids(markets), days)
    if coverage.value is None:
        st.html(markup.wrap(markup.empty("The warehouse cannot be read", *page.START)))
        return
    view = _build(markets, coverage.value)
    if not view.whole.asked_s:
        st.html(
            markup.wrap(
                markup.empty(
                    "No candles were asked for yet",
                    "Dagster collects the candles of the watched markets every five minutes.",
                    "A range of your own: `coinwatch backfill`; the Runs view says what ran last.",
                )
            )
        )
        return
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    told = st_echarts(
        completeness_plot.options(view, palette(st.context.theme.type), JsCode),
        events={"click": completeness_plot.PICK},
        height=f"{completeness_plot.height_px(view)}px",
        replace_merge=["series"],
        key=f"completeness {days} {len(view.rows)}",
    )
    zone = page.zone()
    st.html(markup.wrap(markup_data.legend()))
    named = {one.market_id: one.market for one in markets}
    if coverage.value.holes:
        title = '<h2 class="cw-section">Not there</h2>'
        st.html(markup.wrap(title, markup_data.holes(coverage.value.holes, named, zone)))
    st.html(markup.wrap('<h2 class="cw-section">By market</h2>', markup_data.by_market(view)))
    _picked(told, view)


def _build(markets: Sequence[WatchedMarket], coverage: Coverage) -> completeness.Completeness:
    return completeness.build(markets, coverage.days, coverage.window)


def _picked(told: object, view: completeness.Completeness) -> None:
    """A click on a row narrows the page to its market."""
    event = told.get("chart_event") if isinstance(told, dict) else None
    if not isinstance(event, dict) or event == st.session_state.get(_CLICK):
        return
    st.session_state[_CLICK] = event
    row = event.get("row")
    if isinstance(row, int) and 0 <= row < len(view.rows):
        st.session_state[_PICKED] = str(view.rows[row].market)
        st.rerun()


@page.live
def _streams(source: Source, markets: Sequence[WatchedMarket]) -> None:
    health = source.health()
    if health.value is None:
        return
    names = {one.market for one in markets}
    rows = [row for row in health.value.streams if row.market in names]
    parts = ['<h2 class="cw-section">Services</h2>']
    if health.value.services:
        parts.append(markup_data.services(health.value.services, health.value.calls, page.zone()))
    else:
        parts.append(markup.empty("Nothing runs", *page.START))
    parts.append('<h2 class="cw-section">Streams</h2>')
    if rows:
        parts.append(markup_data.streams(rows, page.zone(), now_us()))
    else:
        parts.append(markup.empty("No stream is known here", "The ingest daemon has not streamed these yet."))
    st.html(markup.wrap(*parts, frozen=bool(health.problem)))


@page.every(2)
def _gaps(source: Source, markets: Sequence[WatchedMarket]) -> None:
    health = source.health()
    if health.value is None:
        return
    names = {one.market for one in markets}
    rows = [row for row in health.value.gaps if row.market in names]
    if rows:
        words = "Spans in which a stream was not heard, of a week, and what was fetched again by REST."
        st.html(markup.wrap(f'<p class="cw-notes">{words}</p>', markup_data.gaps(rows, page.zone())))
    else:
        said = markup.empty("No interruption in a week", "Every stream here was heard without a break.")
        st.html(markup.wrap(said))


@page.every(5)
def _runs(source: Source) -> None:
    runs = source.runs()
    address = dagster_url(source)
    if runs.value:
        page.trouble([runs])
        more = f'<p class="cw-notes"><a href="{address}" target="_blank" rel="noopener">Open Dagster</a></p>'
        st.html(markup.wrap(markup_data.runs(runs.value, address, page.zone(), now_us()), more))
        return
    why = (
        f"Its database says: {runs.problem}." if runs.problem else "Its first schedule starts within minutes."
    )
    st.html(markup.wrap(markup.empty("No run of Dagster is known", why, *page.START)))


@page.every(2)
def _errors(source: Source) -> None:
    health = source.health()
    if health.value is None:
        return
    found, _ = _known(source, health.value)
    if found:
        st.html(markup.wrap(markup_data.troubles(found, dagster_url(source), page.zone())))
    else:
        st.html(
            markup.wrap(markup.empty("Nothing is wrong", "Streams, services, candles and runs are well."))
        )


def dagster_url(source: Source) -> str:
    """Where the viewer's browser finds Dagster: the host it sees us at, and Dagster's port."""
    host = urlsplit(st.context.url or "").hostname or source.settings.host
    return f"http://{host}:{source.settings.dagster_port}"
