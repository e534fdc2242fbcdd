"""Averages: the average price of a pair, the price on each exchange, and the constituents at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from markupsafe import Markup

from app.dashboard.averages import html as averages_html
from app.dashboard.averages import plot, reads
from app.dashboard.averages import view as averages_view
from app.dashboard.data.source import DashboardReads
from app.dashboard.ui import html as ui_html
from app.dashboard.ui import indicator_controls, moments, page, query, viewer
from app.dashboard.ui.indicators import MOVING_AVERAGES, Indicator
from app.dashboard.ui.style import exchange_colours
from app.dashboard.ui.trend import Seen
from app.dashboard.ui.trend import since as trend_since
from app.dashboard.ui.url import PageUrl
from coinwatch import formats
from coinwatch.errors import CoinwatchError
from coinwatch.liveness import is_average_stale
from coinwatch.records import Symbol
from coinwatch.times import SECOND_US, now_us
from warehouse.averages.store import PairAverage
from warehouse.candles.chart_reads import WatchedMarket

HEIGHT = "560px"
DEFAULT_RANGE = "1h"
_SUGGESTED = [f"{kind} {length}" for kind in MOVING_AVERAGES for length in (10, 20, 50, 100)]
_SEEN = "averages_seen"
_PICKED = "averages_picked"
_NONE_YET = (
    "The ingest daemon computes averages every second once two exchanges trade the pair.",
    "`coinwatch status` shows whether it is running.",
)


@dataclass(frozen=True)
class _Chosen:
    symbol: Symbol
    range_name: str
    moving: tuple[Indicator, ...]
    at_us: int | None
    """The moment of the constituents shown; None: now."""


def show(source: DashboardReads) -> None:
    """Draw the page."""
    markets = page.markets(source)
    heading, notices = st.container(), st.container()
    chosen, notes = _choose(markets)
    with notices:
        page.notice(" ".join(note for note in notes if note))
    st.set_page_config(page_title=f"{chosen.symbol} · Averages · Coinwatch")
    with heading:
        _headline(source, chosen.symbol)
    _prices(source, chosen)
    if chosen.at_us is None:
        _live_constituents(source, chosen)
    else:
        _past_constituents(source, chosen)
    members = [watched for watched in markets if watched.market.symbol == chosen.symbol]
    _volumes(source, chosen.symbol, members)


def _choose(markets: Sequence[WatchedMarket]) -> tuple[_Chosen, list[str]]:
    url = PageUrl("averages")
    notes: list[str] = []
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        known = page.symbols_of(markets)
        asked = query.symbol(url.get("symbol"), known)
        page.preset(url, "averages_symbol", query.Choice(str(asked.value), asked.note), notes)
        symbol = st.selectbox("Symbol", [str(option) for option in known], key="averages_symbol", width=150)
        ranges = tuple(averages_view.RANGES)
        page.preset(
            url,
            "averages_range",
            query.option("range", url.get("range"), ranges, DEFAULT_RANGE),
            notes,
        )
        range_name = st.segmented_control("Range", ranges, key="averages_range", required=True)
        moving = indicator_controls.choose(
            url,
            notes,
            "Moving averages",
            _SUGGESTED,
            key="averages_overlays",
            kinds=MOVING_AVERAGES,
            placeholder="SMA 20, EMA 50 …",
            width=240,
            hint="Of the average price; the length is in points of the chart, from 2 to 300.",
        )
        if url.fresh("averages_moment"):
            st.session_state["averages_moment"] = moments.retyped(
                url.get("at") or "", now_us(), viewer.zone()
            )
        at_us, word = _moment()
    url.write(
        {
            "symbol": [symbol],
            "range": [range_name or DEFAULT_RANGE],
            "overlays": [str(indicator) for indicator in moving],
            "at": [moments.iso(at_us)] if at_us is not None else [],
        }
    )
    chosen = _Chosen(Symbol.canonical(symbol), range_name or DEFAULT_RANGE, moving, at_us)
    return chosen, [*notes, word]


def _moment() -> tuple[int | None, str]:
    if (picked_us := st.session_state.pop(_PICKED, None)) is not None:
        st.session_state["averages_moment"] = moments.as_typed(picked_us, viewer.zone())
    raw = st.text_input(
        "Moment",
        key="averages_moment",
        placeholder="now",
        width=190,
        help="Shows the constituents at this time: click the chart, or type 10:30 or 2026-11-21 10:30:05. "
        "Empty for now.",
    )
    if raw:
        st.button("Now", icon=":material/update:", on_click=_back_to_now)
    try:
        return moments.parse(raw, now_us(), viewer.zone()), ""
    except CoinwatchError as error:
        return None, f"{error}. Showing now."


def _back_to_now() -> None:
    st.session_state["averages_moment"] = ""


def _newest(source: DashboardReads, symbol: Symbol) -> tuple[PairAverage | None, bool]:
    """The live average, else the last one known, and whether reading a newer one fails."""
    reading = source.averages()
    live = next((pair for pair in reading.value or () if pair.symbol == symbol), None)
    if live is not None:
        return live, bool(reading.problem)
    last = reads.last(source, symbol)
    return next(iter(last.value or ()), None), bool(reading.problem)


@page.live
def _headline(source: DashboardReads, symbol: Symbol) -> None:
    page.show_problem([source.averages()])
    pair, frozen = _newest(source, symbol)
    if pair is None:
        st.html(ui_html.wrap(ui_html.pair_title(symbol)))
        return
    seen: dict[Symbol, Seen] = st.session_state.setdefault(_SEEN, {})
    trend, moved = trend_since(seen.get(symbol), pair.average.price)
    seen[symbol] = Seen(pair.average.price, trend)
    at_us = now_us()
    stale = frozen or is_average_stale(pair.ts_us, at_us)
    line = averages_html.headline(pair, trend, at_us, moved=moved)
    st.html(ui_html.wrap(line, frozen=stale))


def _view(source: DashboardReads, chosen: _Chosen) -> averages_view.AveragesView | None:
    range_us = averages_view.RANGES[chosen.range_name]
    step_us = averages_view.step_us(range_us)
    warm_up = max((indicator.warm_up(step_us) for indicator in chosen.moving), default=0)
    around_us = _around_us(chosen, step_us)
    samples = reads.samples(source, chosen.symbol, range_us, step_us, warm_up, around_us)
    if samples.value is None:
        return None
    end_us = around_us or -(-(samples.read_us or now_us()) // step_us) * step_us
    return averages_view.build(
        samples.value,
        start_us=end_us - range_us // step_us * step_us,
        end_us=end_us,
        step_us=step_us,
        moving=chosen.moving,
    )


def _around_us(chosen: _Chosen, step_us: int) -> int | None:
    """The end of a chart around a moment that lies before the range up to now; None: now."""
    range_us = averages_view.RANGES[chosen.range_name]
    if chosen.at_us is None or chosen.at_us >= now_us() - range_us:
        return None
    return (chosen.at_us + range_us // 2) // step_us * step_us


@page.every(2)
def _prices(source: DashboardReads, chosen: _Chosen) -> None:
    view = _view(source, chosen)
    if view is None:
        st.html(ui_html.wrap(ui_html.empty("The warehouse cannot be read", *page.START)))
        return
    if view.is_empty:
        when = "in the last" if _around_us(chosen, view.step_us) is None else "around that moment, in"
        title = f"No average of {chosen.symbol} {when} {_long(chosen.range_name)}"
        st.html(ui_html.wrap(ui_html.empty(title, *_NONE_YET)))
        return
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    events = st_echarts(
        plot.options(view, viewer.palette(), JsCode, at_us=chosen.at_us),
        events={"zr:click": plot.PICK},
        height=HEIGHT,
        replace_merge=["series"],
        key=f"averages {chosen.symbol} {chosen.range_name}",
    )
    st.html(ui_html.wrap(averages_html.notes(view, viewer.zone())))
    _picked(events)


def _picked(events: object) -> None:
    """A click on the chart selects its moment."""
    event = events.get("chart_event") if isinstance(events, dict) else None
    if not isinstance(event, dict) or event == st.session_state.get("averages_click"):
        return
    st.session_state["averages_click"] = event
    at_ms = event.get("at_ms")
    if isinstance(at_ms, int | float):
        at_us = min(round(at_ms), now_us() // 1_000) * 1_000 // SECOND_US * SECOND_US
        st.session_state[_PICKED] = at_us
        st.rerun()


def _long(range_name: str) -> str:
    return formats.duration(averages_view.RANGES[range_name])


@page.live
def _live_constituents(source: DashboardReads, chosen: _Chosen) -> None:
    pair, frozen = _newest(source, chosen.symbol)
    if pair is None:
        return
    stale = frozen or is_average_stale(pair.ts_us, now_us())
    title = "Last known constituents" if stale else "Constituents now"
    _constituents(source, chosen, pair, title, frozen=stale)


@page.every(5)
def _past_constituents(source: DashboardReads, chosen: _Chosen) -> None:
    at_us = chosen.at_us or 0
    reading = reads.at(source, chosen.symbol, at_us)
    zone = viewer.zone()
    if not reading.value:
        at = formats.local(at_us, zone)
        hint = reading.problem or (
            "No average was computed in the 90 seconds before: it may be older than the retention limit, "
            "or the daemon was not running."
        )
        st.html(ui_html.wrap(ui_html.empty(f"No average of {chosen.symbol} at {at}", hint)))
        return
    pair = reading.value[0]
    title = f"Constituents at {formats.local(at_us, zone)}"
    _constituents(source, chosen, pair, title, frozen=False, facts=averages_html.past(pair, zone))


def _constituents(
    source: DashboardReads,
    chosen: _Chosen,
    pair: PairAverage,
    title: str,
    *,
    frozen: bool,
    facts: Markup | None = None,
) -> None:
    view = _view(source, chosen)
    parts = averages_view.parts(pair, view)
    colours = exchange_colours((part.name for part in parts), viewer.palette())
    table = averages_html.constituents(parts, colours, viewer.zone())
    st.html(ui_html.wrap(ui_html.section(title), facts or "", table, frozen=frozen))


@page.every(5)
def _volumes(source: DashboardReads, symbol: Symbol, members: Sequence[WatchedMarket]) -> None:
    every = [watched.market_id for watched in source.markets().known]
    statistics = source.statistics(every)
    exchange_of = {watched.market_id: watched.market.exchange for watched in members}
    volumes = {
        exchange_of[day.market_id]: day.quote_volume
        for day in (statistics.value.day if statistics.value else ())
        if day.market_id in exchange_of
    }
    shares = averages_view.volume_shares(volumes)
    if not shares:
        return
    colours = exchange_colours(volumes, viewer.palette())
    st.html(
        ui_html.wrap(
            ui_html.section("Share of volume (24 h)"),
            averages_html.volumes(shares, colours, symbol.quote),
        )
    )
