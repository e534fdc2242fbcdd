"""The Data page: completeness of candles, stream gaps, services, runs, storage and problems."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

import streamlit as st

from app.dashboard.data.source import DashboardReads
from app.dashboard.data_quality import day_view, panels, plot, reads
from app.dashboard.data_quality import html as data_quality_html
from app.dashboard.data_quality import view as data_quality_view
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
LABELS = {GAPS: "Stream gaps"}
"""Labels of the views that are not shown by their name in addresses."""
OF_MARKETS = (COMPLETENESS, CHECKS, GAPS, STREAMS)
ALL, EVERY_DAY = "all", "every day"
MOST_COUNTED = 2_000
"""Minutes without trades are counted for at most this many days, all markets together: more takes seconds."""
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
    shown = [watched for watched in markets if chosen.market in (ALL, *_names(watched))]
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
    market: str
    """A market, an exchange, a symbol or ``ALL``."""
    day: date | None
    """A day of a single market to show minute by minute."""
    notes: list[str]


def _choose(markets: Sequence[WatchedMarket]) -> _Choice:
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
    return _Choice(view, days, market, None if day == EVERY_DAY else date.fromisoformat(day), notes)


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


def _names(watched: WatchedMarket) -> tuple[str, str, str]:
    return watched.market.exchange, str(watched.market.symbol), str(watched.market)


def _filters(markets: Sequence[WatchedMarket]) -> list[str]:
    exchanges = sorted({watched.market.exchange for watched in markets})
    symbols = map(str, page.symbols_of(markets))
    return [ALL, *exchanges, *symbols, *(str(watched.market) for watched in markets)]


def _ids(markets: Sequence[WatchedMarket]) -> list[int]:
    return [watched.market_id for watched in markets]


@page.every(2)
def _facts(source: DashboardReads, markets: Sequence[WatchedMarket]) -> None:
    health = source.health()
    coverage = reads.coverage(source, _ids(markets), DAYS[DEFAULT_DAYS])
    frozen = page.show_problem([health, coverage])
    if health.value is None or coverage.value is None:
        return
    total = _build(markets, coverage.value).total
    problems = panels.find_problems(source, health.value)
    facts = data_quality_html.facts(total, health.value.streams, health.value.gaps, problems)
    st.html(ui_html.wrap(facts, frozen=frozen))


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
    if not view.total.wanted_s:
        st.html(
            ui_html.wrap(
                ui_html.empty(
                    "No candles were requested yet",
                    "Dagster collects the candles of the watched markets every five minutes.",
                    "`coinwatch backfill` collects any other range; the Runs view shows the last runs.",
                )
            )
        )
        return
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    event = st_echarts(
        plot.options(view, palette(st.context.theme.type), JsCode),
        events={"click": plot.PICK},
        height=f"{plot.height_px(view)}px",
        key=f"completeness {days} {len(view.rows)}",
    )
    zone = page.zone()
    names = {watched.market_id: watched.market for watched in markets}
    parts: list[str] = [data_quality_html.legend(view)]
    if coverage.value.missing:
        missing = data_quality_html.missing(coverage.value.missing, names, zone)
        parts.append(section("Missing candles", missing))
    parts.append(section("By market", data_quality_html.by_market(view)))
    st.html(ui_html.wrap(*parts))
    _pick(event, view)


@page.every(10)
def _day(source: DashboardReads, watched: WatchedMarket, day: date) -> None:
    """Each minute of a day of a market."""
    minutes = reads.minutes(source, watched.market_id, day)
    page.show_problem([minutes])
    if minutes.value is None:
        return
    window = Window(day_start_us(day), day_start_us(day) + DAY_US)
    kinds = day_view.kinds(window, minutes.value)
    title = f"{watched.market}, {day:%A, %-d %B %Y} (UTC)"
    st.html(
        ui_html.wrap(
            section(title, data_quality_html.day_legend(kinds)),
            data_quality_html.day(window, kinds, page.zone()),
            note("Each line is an hour. Point at a span to see its minutes."),
            ui_html.offer(
                "Chart", f"chart?symbol={watched.market.symbol}&exchange={watched.market.exchange}"
            ),
        )
    )


def _build(
    markets: Sequence[WatchedMarket], coverage: Coverage, traded: Sequence[DayTraded] | None = None
) -> data_quality_view.Completeness:
    return data_quality_view.build(markets, coverage.days, coverage.window, traded)


def _pick(clicked: object, view: data_quality_view.Completeness) -> None:
    """Shows the day of a clicked cell minute by minute."""
    event = clicked.get("chart_event") if isinstance(clicked, dict) else None
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
