"""The Data page: completeness of candles, stream gaps, services, runs, storage and problems."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import streamlit as st

from app.dashboard.data.source import DashboardReads
from app.dashboard.data_quality import controls, day_view, panels, plot, reads
from app.dashboard.data_quality import html as data_quality_html
from app.dashboard.data_quality import view as data_quality_view
from app.dashboard.data_quality.reads import Coverage
from app.dashboard.ui import html as ui_html
from app.dashboard.ui import page, viewer
from app.dashboard.ui.html import note, section
from coinwatch.times import DAY_US, day_start_us
from coinwatch.windows import Window
from warehouse.candles.chart_reads import WatchedMarket
from warehouse.candles.coverage_reads import DayTraded

MOST_COUNTED = 2_000
"""Minutes without trades are counted for at most this many days, all markets together: more takes seconds."""
_CLICK = "data_click"


def show(source: DashboardReads) -> None:
    """Draw the page."""
    st.title("Data", anchor=False)
    markets = page.markets(source)
    notices = st.container()
    _facts(source, markets)
    chosen = controls.choose(markets)
    with notices:
        page.notice(" ".join(note for note in chosen.notes if note))
    st.set_page_config(page_title=f"{chosen.view} · Data · Coinwatch")
    shown = [watched for watched in markets if chosen.market in (controls.ALL, *controls.names(watched))]
    if chosen.view == controls.COMPLETENESS and chosen.day is not None:
        _day(source, shown[0], chosen.day)
    elif chosen.view == controls.COMPLETENESS:
        _completeness(source, shown, controls.DAYS[chosen.days])
    elif chosen.view == controls.CHECKS:
        panels.checks(source, shown)
    elif chosen.view == controls.GAPS:
        panels.gaps(source, shown)
    elif chosen.view == controls.STREAMS:
        panels.streams(source, shown)
    elif chosen.view == controls.RUNS:
        panels.runs(source)
    elif chosen.view == controls.STORAGE:
        panels.storage(source)
    elif chosen.view == controls.OUTLETS:
        panels.outlets(source)
    else:
        panels.errors(source)


def _ids(markets: Sequence[WatchedMarket]) -> list[int]:
    return [watched.market_id for watched in markets]


@page.every(2)
def _facts(source: DashboardReads, markets: Sequence[WatchedMarket]) -> None:
    health = source.health()
    coverage = reads.coverage(source, _ids(markets), controls.DAYS[controls.DEFAULT_DAYS])
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
        plot.options(view, viewer.palette(), JsCode),
        events={"click": plot.PICK},
        height=f"{plot.height_px(view)}px",
        key=f"completeness {days} {len(view.rows)}",
    )
    zone = viewer.zone()
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
            data_quality_html.day(window, kinds, viewer.zone()),
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
        controls.pick(str(view.rows[row].market), view.days[day])
        st.rerun()
