"""The views of the Data page other than completeness: each refreshes itself."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.dashboard.data.read_results import Health
from app.dashboard.data.source import DashboardReads
from app.dashboard.data_quality import html as data_quality_html
from app.dashboard.data_quality import operations_html, reads
from app.dashboard.ui import html as ui_html
from app.dashboard.ui import page, problems, viewer
from app.dashboard.ui.html import note, section
from coinwatch.settings.addresses import browser_url
from coinwatch.times import now_us, utc_day
from warehouse.candles.chart_reads import WatchedMarket

DAGSTER = "dagster"
"""Dagster's name among the services."""


def find_problems(source: DashboardReads, health: Health) -> tuple[problems.Problem, ...]:
    """All current and past problems, as far as they can be read."""
    outlets = reads.outlets(source).value
    return problems.find(
        health.streams,
        health.services,
        health.gaps,
        health.calls,
        reads.runs(source).value or (),
        outlets.outlets if outlets else (),
        now_us=now_us(),
    )


@page.live
def streams(source: DashboardReads, markets: Sequence[WatchedMarket]) -> None:
    """Services with their heartbeats, and the state of each stream."""
    health = source.health()
    if health.value is None:
        return
    shown = {watched.market for watched in markets}
    rows = [row for row in health.value.streams if row.market in shown]
    services: str
    states: str
    if health.value.services:
        services = operations_html.services(health.value.services, health.value.calls, viewer.zone())
    else:
        services = ui_html.empty("No service is running", *page.START)
    if rows:
        states = data_quality_html.streams(rows, viewer.zone(), now_us())
    else:
        states = ui_html.empty(
            "No streams yet", "The ingest daemon streams watched markets as soon as it starts."
        )
    parts = (section("Services", services), section("Streams", states))
    st.html(ui_html.wrap(*parts, frozen=bool(health.problem)))


@page.every(2)
def gaps(source: DashboardReads, markets: Sequence[WatchedMarket]) -> None:
    """Stream gaps of a week, and their recovery."""
    health = source.health()
    if health.value is None:
        return
    shown = {watched.market for watched in markets}
    rows = [row for row in health.value.gaps if row.market in shown]
    if rows:
        summary = note("Interruptions of streams in the last 7 days, and the trades recovered by REST.")
        st.html(ui_html.wrap(summary, data_quality_html.gaps(rows, viewer.zone())))
    else:
        empty = ui_html.empty("No stream gaps in the last 7 days", "No stream was interrupted.")
        st.html(ui_html.wrap(empty))


@page.every(30)
def checks(source: DashboardReads, markets: Sequence[WatchedMarket]) -> None:
    """How stored candles compare with the exchanges' daily candles."""
    results = reads.checks(source, [watched.market_id for watched in markets])
    page.show_problem([results])
    if results.value is None:
        return
    if results.value.days:
        st.html(ui_html.wrap(operations_html.checks(results.value, viewer.zone())))
        return
    hints = (
        "Every night at 00:40 UTC the minutes of the previous day are added up and compared with the "
        "exchange's daily candle. Minutes that differ are fetched again.",
        "To check yesterday now, materialize `candle_checks` in Dagster.",
    )
    st.html(ui_html.wrap(ui_html.empty("No checks in the last 30 days", *hints)))


@page.every(5)
def runs(source: DashboardReads) -> None:
    """Dagster's last day, and its last runs."""
    last_runs, health = reads.runs(source), source.health()
    address = dagster_url(source)
    parts = []
    if health.value is not None:
        parts = [
            operations_html.dagster(row, address, viewer.zone())
            for row in health.value.services
            if row.service == DAGSTER
        ][:1]
    if last_runs.value:
        page.show_problem([last_runs])
        table = data_quality_html.runs(last_runs.value, address, viewer.zone(), now_us())
        st.html(ui_html.wrap(*parts, section("Last runs", table)))
        return
    problem = last_runs.problem
    why = f"Dagster's database: {problem}." if problem else "Its first schedule starts within minutes."
    st.html(ui_html.wrap(*parts, ui_html.empty("No Dagster runs yet", why, *page.START)))


@page.every(30)
def storage(source: DashboardReads) -> None:
    """What is stored, and how long it is kept."""
    sizes = reads.storage(source)
    page.show_problem([sizes])
    if sizes.value is not None:
        tables = operations_html.storage(sizes.value, source.settings, utc_day(now_us()))
        st.html(ui_html.wrap(tables, frozen=bool(sizes.problem)))


@page.every(5)
def outlets(source: DashboardReads) -> None:
    """The outlets of all clients, and failed deliveries."""
    state = reads.outlets(source)
    page.show_problem([state])
    if state.value is None:
        return
    if state.value.outlets:
        tables = operations_html.outlets(state.value, viewer.zone(), now_us())
        st.html(ui_html.wrap(tables, frozen=bool(state.problem)))
        return
    hints = (
        "Alerts are sent to clients of the alert endpoint, and to outlets: webhooks, Telegram, e-mail and "
        "others.",
        "Add an outlet with `coinwatch outlets add CLIENT URL`.",
    )
    st.html(ui_html.wrap(ui_html.empty("No outlets", *hints)))


@page.every(2)
def errors(source: DashboardReads) -> None:
    """Current and past problems."""
    health = source.health()
    if health.value is None:
        return
    known = find_problems(source, health.value)
    if known:
        st.html(ui_html.wrap(data_quality_html.problems(known, dagster_url(source), viewer.zone())))
        return
    hint = "Services, streams, runs, API budgets and outlets work without errors."
    st.html(ui_html.wrap(ui_html.empty("No problems", hint)))


def dagster_url(source: DashboardReads) -> str:
    """Dagster's address for the viewer's browser, empty when it cannot reach Dagster."""
    settings = source.settings
    if settings.dagster_url:
        return settings.dagster_url.rstrip("/")
    return browser_url(settings.dagster_host, settings.dagster_port, viewer.host() or settings.dashboard_host)
