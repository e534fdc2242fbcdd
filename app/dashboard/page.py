"""What every page shares: notices, and the markets or the words why there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ParamSpec

import streamlit as st
import structlog

from app.dashboard import markup
from app.dashboard.data import Source
from app.dashboard.reader import Reading
from coinwatch.records import Symbol
from coinwatch.times import now_us
from warehouse.reads import WatchedMarket

P = ParamSpec("P")

TICK_S = 1
"""How often live parts of a page run."""

START = (
    "Start everything with `coinwatch up`, or with `coinwatch up --demo` to see it on simulated exchanges.",
    "This page looks again every second; `coinwatch status` says what is running.",
)


def guarded(draw: Callable[P, None]) -> Callable[P, None]:
    """``draw``, with a clear word and a line in the log instead of a traceback.

    Streamlit's own stop and rerun are not Exceptions and pass.
    """

    @wraps(draw)
    def guard(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except Exception:
            structlog.get_logger().exception("drawing failed", what=draw.__qualname__)
            failed = markup.empty(
                "This part could not be drawn", "The log has the details. Reload the page to try again."
            )
            st.html(markup.wrap(failed))

    return guard


def live(draw: Callable[P, None]) -> Callable[P, None]:
    """A guarded part of a page that runs by itself every second."""
    fragment: Callable[P, None] = st.fragment(guarded(draw), run_every=TICK_S)
    return fragment


def notice(text: str) -> None:
    """A banner; nothing for no text."""
    if text:
        st.html(markup.wrap(markup.banner(text)))


def trouble(readings: Iterable[Reading[Any]]) -> bool:
    """Say so, once, when a reading has a problem. True when its numbers must not pass as live."""
    at_us = now_us()
    for reading in readings:
        if reading.problem and (words := markup.staleness(reading.problem, reading.read_us, at_us)):
            notice(words)
            return True
    return False


def markets(source: Source) -> tuple[WatchedMarket, ...]:
    """The watched markets; with none, the page waits here with words and goes on when there are some."""
    found = source.markets().value
    if not found:
        _wait_for_markets(source)
        st.stop()
    return found


@live
def _wait_for_markets(source: Source) -> None:
    reading = source.markets()
    if reading.value:
        st.rerun()
    trouble([reading])
    title = "The warehouse cannot be read" if reading.problem else "No data yet"
    st.html(markup.wrap(markup.empty(title, *START)))


def symbols_of(found: Iterable[WatchedMarket]) -> list[Symbol]:
    """Each symbol once, those on most exchanges first."""
    counts: dict[Symbol, int] = {}
    for watched in found:
        counts[watched.market.symbol] = counts.get(watched.market.symbol, 0) + 1
    return sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
