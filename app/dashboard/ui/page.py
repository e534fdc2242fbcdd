"""What every page shares: error handling, notices, and the watched markets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ParamSpec

import streamlit as st
import structlog

from app.dashboard.data.failures import NO_ANSWER
from app.dashboard.data.reader import Reading
from app.dashboard.data.source import DashboardReads
from app.dashboard.ui import html, query
from app.dashboard.ui.url import PageUrl
from coinwatch import formats
from coinwatch.records import Symbol
from coinwatch.times import SECOND_US, now_us
from ingest_daemon.log_throttle import LogThrottle
from warehouse.candles.chart_reads import WatchedMarket

P = ParamSpec("P")

log = structlog.get_logger(__name__)
_failures: defaultdict[str, LogThrottle] = defaultdict(LogThrottle)
"""By part of a page, for all viewers."""

TICK_S = 1
"""How often live parts of a page run."""

START = (
    "Start everything with `coinwatch up`, or with `coinwatch up --demo` to see it on simulated exchanges.",
    "This page checks again every second; `coinwatch status` shows what is running.",
)


def guarded(draw: Callable[P, None]) -> Callable[P, None]:
    """``draw``, with a message instead of a traceback, which the log has once a minute at most.

    Streamlit's own stop and rerun are not Exceptions and pass.
    """

    @wraps(draw)
    def guard(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except Exception:
            what = f"{draw.__module__}.{draw.__qualname__}"
            if (suppressed := _failures[what].suppressed()) is not None:
                log.exception("drawing failed", what=what, suppressed=suppressed)
            failed = html.empty(
                "This part could not be drawn", "The log has the details. Reload the page to retry."
            )
            st.html(html.wrap(failed))

    return guard


def live(draw: Callable[P, None]) -> Callable[P, None]:
    """A guarded part of a page that is redrawn every second."""
    return every(TICK_S)(draw)


def every(seconds: float) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """A guarded part of a page that is redrawn at this interval."""

    def part(draw: Callable[P, None]) -> Callable[P, None]:
        fragment: Callable[P, None] = st.fragment(guarded(draw), run_every=seconds)
        return fragment

    return part


def preset(url: PageUrl, key: str, asked: query.Choice[str], notes: list[str]) -> None:
    """Set the widget ``key`` to the value of the address when that is new, and note what was wrong."""
    if url.fresh(key):
        st.session_state[key] = asked.value
        notes.append(asked.note)


def notice(text: str) -> None:
    """A banner; nothing for no text."""
    if text:
        st.html(html.wrap(html.banner(text)))


def show_problem(readings: Iterable[Reading[Any]]) -> bool:
    """Show a banner for the first of ``readings`` with a problem. True when its numbers are not live.

    ``banner`` reports above every page that there is no database at all, so that is not repeated here.
    """
    at_us = now_us()
    for reading in readings:
        words = stale_notice(reading, at_us)
        if words:
            if reading.problem and not reading.problem.startswith(NO_ANSWER):
                notice(words)
            return True
    return False


def stale_notice(reading: Reading[Any], at_us: int) -> str:
    """The sentence for a reading with a problem; empty without one, or while a slow answer is still new."""
    if not reading.problem:
        return ""
    age_us = at_us - reading.read_us
    if reading.read_us and "slow" in reading.problem and age_us < 4 * SECOND_US:
        return ""
    problem = f"{reading.problem[:1].upper()}{reading.problem[1:].rstrip('.')}."
    if not reading.read_us:
        return f"{problem} No data to show. Retrying automatically."
    return f"{problem} Showing the last values read, {formats.duration(age_us)} old. Retrying automatically."


def markets(source: DashboardReads) -> tuple[WatchedMarket, ...]:
    """The watched markets. Without any, the page stops here with a hint until there are some."""
    watched = source.markets().value
    if not watched:
        _wait_for_markets(source)
        st.stop()
    return watched


@live
def _wait_for_markets(source: DashboardReads) -> None:
    reading = source.markets()
    if reading.value:
        st.rerun()
    show_problem([reading])
    title = "The warehouse cannot be read" if reading.problem else "No data yet"
    st.html(html.wrap(html.empty(title, *START)))


def symbols_of(markets: Iterable[WatchedMarket]) -> list[Symbol]:
    """Each symbol once, those on most exchanges first."""
    counts: dict[Symbol, int] = {}
    for watched in markets:
        counts[watched.market.symbol] = counts.get(watched.market.symbol, 0) + 1
    return sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
