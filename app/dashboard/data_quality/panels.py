"""The views of the Data page beside completeness: each reads and draws itself again and again."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import streamlit as st

from app.dashboard.data.read_results import Health
from app.dashboard.data.source import DashboardReads
from app.dashboard.data_quality import html as data_quality_html
from app.dashboard.data_quality import operations_html, reads
from app.dashboard.ui import html as ui_html
from app.dashboard.ui import page, problems
from app.dashboard.ui.tables import note, section
from coinwatch.times import now_us, utc_day
from warehouse.candles.chart_reads import WatchedMarket

DAGSTER = "dagster"
"""Its row among the services."""


def find_troubles(source: DashboardReads, health: Health) -> tuple[problems.Problem, ...]:
    """Everything that is or was wrong, of all that can be read."""
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
    """What runs, and how each stream does."""
    health = source.health()
    if health.value is None:
        return
    names = {one.market for one in markets}
    rows = [row for row in health.value.streams if row.market in names]
    if health.value.services:
        told = operations_html.services(health.value.services, health.value.calls, page.zone())
    else:
        told = ui_html.empty("Nothing runs", *page.START)
    if rows:
        heard = data_quality_html.streams(rows, page.zone(), now_us())
    else:
        heard = ui_html.empty(
            "No stream is known here", "The ingest daemon has not streamed these yet; it begins at once."
        )
    parts = (section("Services", told), section("Streams", heard))
    st.html(ui_html.wrap(*parts, frozen=bool(health.problem)))


@page.every(2)
def gaps(source: DashboardReads, markets: Sequence[WatchedMarket]) -> None:
    """When streams were not heard, and what became of it."""
    health = source.health()
    if health.value is None:
        return
    names = {one.market for one in markets}
    rows = [row for row in health.value.gaps if row.market in names]
    if rows:
        words = "Spans in which a stream was not heard, of a week, and what was fetched again by REST."
        st.html(ui_html.wrap(note(words), data_quality_html.gaps(rows, page.zone())))
    else:
        said = ui_html.empty("No interruption in a week", "Every stream here was heard without a break.")
        st.html(ui_html.wrap(said))


@page.every(30)
def checks(source: DashboardReads, markets: Sequence[WatchedMarket]) -> None:
    """Our days of candles beside the exchanges' own."""
    found = reads.checks(source, [one.market_id for one in markets])
    page.show_problem([found])
    if found.value is None:
        return
    if found.value.days:
        summary = note(operations_html.checked(found.value))
        st.html(ui_html.wrap(summary, operations_html.checks(found.value, page.zone())))
        return
    words = (
        "Every night at 00:40 UTC the minutes of the day before are folded and compared with the exchange's "
        "own candle of the day. What differs is fetched again.",
        "Now, of yesterday: materialize `candle_checks` in Dagster.",
    )
    st.html(ui_html.wrap(ui_html.empty("No day was checked in a month", *words)))


@page.every(5)
def runs(source: DashboardReads) -> None:
    """What Dagster says of itself, and its last runs."""
    found, health = reads.runs(source), source.health()
    address = dagster_url(source)
    parts = []
    if health.value is not None:
        parts = [
            operations_html.dagster(row, address, page.zone())
            for row in health.value.services
            if row.service == DAGSTER
        ][:1]
    if found.value:
        page.show_problem([found])
        more = f'<p class="cw-notes"><a href="{address}" target="_blank" rel="noopener">Open Dagster</a></p>'
        told = data_quality_html.runs(found.value, address, page.zone(), now_us())
        st.html(ui_html.wrap(*parts, section("Last runs", told), more))
        return
    why = f"Its database says: {found.problem}." if found.problem else "Its first schedule starts in minutes."
    st.html(ui_html.wrap(*parts, ui_html.empty("No run of Dagster is known", why, *page.START)))


@page.every(30)
def storage(source: DashboardReads) -> None:
    """What is on disk, and how long it is kept."""
    found = reads.storage(source)
    page.show_problem([found])
    if found.value is not None:
        told = operations_html.storage(found.value, source.settings, utc_day(now_us()))
        st.html(ui_html.wrap(told, frozen=bool(found.problem)))


@page.every(5)
def outlets(source: DashboardReads) -> None:
    """Where alerts go besides connections, and what did not arrive."""
    found = reads.outlets(source)
    page.show_problem([found])
    if found.value is None:
        return
    if found.value.outlets:
        told = operations_html.outlets(found.value, page.zone(), now_us())
        st.html(ui_html.wrap(told, frozen=bool(found.problem)))
        return
    words = (
        "Alerts go to those connected to the alert endpoint, and to outlets: webhooks, Telegram, e-mail and "
        "others.",
        "Set one up: `coinwatch outlets add CLIENT URL`.",
    )
    st.html(ui_html.wrap(ui_html.empty("There is no outlet", *words)))


@page.every(2)
def errors(source: DashboardReads) -> None:
    """What is wrong, and what was."""
    health = source.health()
    if health.value is None:
        return
    found = find_troubles(source, health.value)
    if found:
        st.html(ui_html.wrap(data_quality_html.troubles(found, dagster_url(source), page.zone())))
        return
    words = "Services, streams, interruptions, runs, budgets and outlets are well."
    st.html(ui_html.wrap(ui_html.empty("Nothing is wrong", words)))


def dagster_url(source: DashboardReads) -> str:
    """Where the viewer's browser finds Dagster: as set, else the host it sees us at, and Dagster's port."""
    if source.settings.dagster_url:
        return source.settings.dagster_url.rstrip("/")
    host = urlsplit(st.context.url or "").hostname or source.settings.host
    return f"http://{host}:{source.settings.dagster_port}"
