"""Data: how complete the warehouse is, what broke and was mended, and who works on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

import streamlit as st

from app.dashboard.data.source import DashboardReads
from app.dashboard.data_quality import completeness, completeness_day, panels, plot, reads
from app.dashboard.data_quality import html as data_quality_html
from app.dashboard.data_quality.reads import Coverage
from app.dashboard.ui import html as ui_html
from app.dashboard.ui import page, query
from app.dashboard.ui.style import palette
from app.dashboard.ui.tables import note, section
from app.dashboard.ui.url import PageUrl
from coinwatch.times import DAY_US, day_start_us, now_us, utc_day
from coinwatch.windows import Window
from warehouse.candles.chart_reads import WatchedMarket
from warehouse.candles.coverage_reads import DayTraded

DAYS = {"1w": 7, "1mo": 30, "3mo": 90, "1y": 365}
DEFAULT_DAYS = "1mo"
COMPLETENESS, CHECKS, GAPS, STREAMS = "Completeness", "Checks", "Interruptions", "Streams"
RUNS, STORAGE, OUTLETS, ERRORS = "Runs", "Storage", "Outlets", "Errors"
VIEWS = (COMPLETENESS, CHECKS, GAPS, STREAMS, RUNS, STORAGE, OUTLETS, ERRORS)
OF_MARKETS = (COMPLETENESS, CHECKS, GAPS, STREAMS)
ALL, EVERY_DAY = "all", "every day"
MOST_COUNTED = 2_000
"""Days of all markets together of which minutes without trades are counted; more takes seconds."""
_PICKED, _PICKED_DAY = "data_picked", "data_picked_day"
_CLICK = "data_click"


def show(source: DashboardReads) -> None:
    """Draw the page."""
    st.title("Data", anchor=False)
    markets = page.markets(source)
    notices = st.container()
    _facts(source, markets)
    chosen = _choose(markets)
    with notices:
        page.notice(" ".join(note for note in chosen.notes if note))
    st.set_page_config(page_title=f"{chosen.view} · Data · Coinwatch")
    shown = [one for one in markets if chosen.wanted in (ALL, *_names(one))]
    if chosen.view == COMPLETENESS and chosen.day is not None:
        _day(source, shown[0], chosen.day)
    elif chosen.view == COMPLETENESS:
        _completeness(source, shown, DAYS[chosen.days])
    elif chosen.view == CHECKS:
        panels.checks(source, shown)
    elif chosen.view == GAPS:
        panels.gaps(source, shown)
    elif chosen.view == STREAMS:
        panels.streams(source, shown)
    elif chosen.view == RUNS:
        panels.runs(source)
    elif chosen.view == STORAGE:
        panels.storage(source)
    elif chosen.view == OUTLETS:
        panels.outlets(source)
    else:
        panels.errors(source)


class _Choice(NamedTuple):
    view: str
    days: str
    wanted: str
    """A market, an exchange, a symbol or ``ALL``."""
    day: date | None
    """Of one market: each minute of it."""
    notes: list[str]


def _choose(markets: Sequence[WatchedMarket]) -> _Choice:
    url = PageUrl("data")
    notes: list[str] = []
    single = {str(one.market) for one in markets}
    wanted, days, day = ALL, DEFAULT_DAYS, EVERY_DAY
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        page.preset(url, "data_view", query.option("view", url.get("view"), VIEWS, COMPLETENESS), notes)
        view = st.pills("Show", VIEWS, key="data_view", required=True, wrap=True) or COMPLETENESS
        options = _filters(markets)
        if (picked := st.session_state.pop(_PICKED, None)) in options:
            st.session_state["data_market"] = picked
        else:
            asked = query.option("market", url.get("market"), options, ALL)
            page.preset(url, "data_market", asked, notes)
        if st.session_state.get("data_market") not in options:
            st.session_state["data_market"] = ALL
        if view in OF_MARKETS:
            wanted = st.selectbox(
                "Of",
                options,
                key="data_market",
                width=210,
                help="One market, or all of an exchange or a symbol.",
            )
        page.preset(url, "data_days", query.option("days", url.get("days"), tuple(DAYS), DEFAULT_DAYS), notes)
        if view == COMPLETENESS:
            days = st.segmented_control("Days", tuple(DAYS), key="data_days", required=True) or DEFAULT_DAYS
            if wanted in single:
                day = _choose_day(url, DAYS[days], notes)
    url.write(
        {
            "view": [view],
            "market": [wanted] if wanted != ALL else [],
            "days": [days] if view == COMPLETENESS else [],
            "day": [day] if day != EVERY_DAY else [],
        }
    )
    return _Choice(view, days, wanted, None if day == EVERY_DAY else date.fromisoformat(day), notes)


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
        "Day", shown, key="data_day", width=150, help="A day, UTC, minute by minute; or all of them."
    )
    return chosen


def _names(one: WatchedMarket) -> tuple[str, str, str]:
    return one.market.exchange, str(one.market.symbol), str(one.market)


def _filters(markets: Sequence[WatchedMarket]) -> list[str]:
    exchanges = sorted({one.market.exchange for one in markets})
    return [ALL, *exchanges, *map(str, page.symbols_of(markets)), *(str(one.market) for one in markets)]


def _ids(markets: Sequence[WatchedMarket]) -> list[int]:
    return [one.market_id for one in markets]


@page.every(2)
def _facts(source: DashboardReads, markets: Sequence[WatchedMarket]) -> None:
    health = source.health()
    coverage = reads.coverage(source, _ids(markets), DAYS[DEFAULT_DAYS])
    frozen = page.show_problem([health, coverage])
    if health.value is None or coverage.value is None:
        return
    whole = _build(markets, coverage.value).whole
    found = panels.find_troubles(source, health.value)
    line = data_quality_html.facts(whole, health.value.streams, health.value.gaps, found)
    st.html(ui_html.wrap(line, frozen=frozen))


@page.every(10)
def _completeness(source: DashboardReads, markets: Sequence[WatchedMarket], days: int) -> None:
    coverage = reads.coverage(source, _ids(markets), days)
    if coverage.value is None:
        st.html(ui_html.wrap(ui_html.empty("The warehouse cannot be read", *page.START)))
        return
    counted = None
    if len(markets) * days <= MOST_COUNTED:
        counted = reads.traded(source, _ids(markets), days).value
    view = _build(markets, coverage.value, counted)
    if not view.whole.asked_s:
        st.html(
            ui_html.wrap(
                ui_html.empty(
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
        plot.options(view, palette(st.context.theme.type), JsCode),
        events={"click": plot.PICK},
        height=f"{plot.height_px(view)}px",
        key=f"completeness {days} {len(view.rows)}",
    )
    zone = page.zone()
    named = {one.market_id: one.market for one in markets}
    parts = [data_quality_html.legend(view)]
    if coverage.value.holes:
        parts.append(section("Not there", data_quality_html.holes(coverage.value.holes, named, zone)))
    parts.append(section("By market", data_quality_html.by_market(view)))
    st.html(ui_html.wrap(*parts))
    _picked(told, view)


@page.every(10)
def _day(source: DashboardReads, watched: WatchedMarket, day: date) -> None:
    """Each minute of one market's day."""
    found = reads.minutes(source, watched.market_id, day)
    page.show_problem([found])
    if found.value is None:
        return
    window = Window(day_start_us(day), day_start_us(day) + DAY_US)
    known = completeness_day.kinds(window, found.value)
    title = f"{watched.market}, {day:%A, %-d %B %Y} (UTC)"
    st.html(
        ui_html.wrap(
            section(title, completeness_day.legend(known)),
            completeness_day.day_map(window, known, page.zone()),
            note("A line is an hour. Point at a span for its minutes."),
            ui_html.offer(
                "Its chart", f"chart?symbol={watched.market.symbol}&exchange={watched.market.exchange}"
            ),
        )
    )


def _build(
    markets: Sequence[WatchedMarket], coverage: Coverage, traded: Sequence[DayTraded] | None = None
) -> completeness.Completeness:
    return completeness.build(markets, coverage.days, coverage.window, traded)


def _picked(told: object, view: completeness.Completeness) -> None:
    """A click on a cell shows that day of its market."""
    event = told.get("chart_event") if isinstance(told, dict) else None
    if not isinstance(event, dict) or event == st.session_state.get(_CLICK):
        return
    st.session_state[_CLICK] = event
    row, day = event.get("row"), event.get("day")
    if not (isinstance(row, int) and isinstance(day, int)):
        return
    if 0 <= row < len(view.rows) and 0 <= day < len(view.days):
        st.session_state[_PICKED] = str(view.rows[row].market)
        st.session_state[_PICKED_DAY] = view.days[day].isoformat()
        st.rerun()
