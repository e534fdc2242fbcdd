"""Chart: candles of one market with indicators and alerts, or several markets compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote as quote_url

import streamlit as st

from app.dashboard.chart import compare, controls, download, plot
from app.dashboard.chart import html as chart_html
from app.dashboard.chart import view as chart_view
from app.dashboard.chart.controls import Chosen
from app.dashboard.data.read_results import History
from app.dashboard.data.reader import Reading
from app.dashboard.data.source import CLIENT, DashboardReads
from app.dashboard.ui import html, moments, page, viewer
from app.dashboard.ui.trend import Seen, Trend
from app.dashboard.ui.trend import since as trend_since
from coinwatch import formats
from coinwatch.liveness import silent_after_us
from coinwatch.records import Candle, Market
from coinwatch.times import now_us
from coinwatch.windows import Window
from warehouse.candles.chart_reads import DayStats, LastTrade, TradeRate, WatchedMarket

Row = TypeVar("Row", DayStats, LastTrade, TradeRate)

COMPARE_HEIGHT = "520px"
SLOW_FROM = 1_500
"""A chart of more candles is updated less often than every second."""
SLOW_S = 5
PAST_S = 30
"""A chart of the past changes only when candles are collected or repaired."""
_SEEN = "chart_seen"
_PICKED = "chart_picked"
_CLICK = "chart_click"


def show(source: DashboardReads) -> None:
    """Draw the page."""
    markets = page.markets(source)
    heading, notices = st.container(), st.container()
    chosen, notes = controls.choose(markets)
    with notices:
        page.notice(" ".join(note for note in notes if note))
    market = chosen.watched.market
    st.set_page_config(page_title=f"{market.symbol} on {market.exchange} · Chart · Coinwatch")
    with heading:
        _quote(source, chosen.watched)
    if chosen.others:
        _comparison(source, chosen)
    elif chosen.until_us is not None:
        _past_candles(source, chosen)
    elif chosen.range_us // chosen.interval.us <= SLOW_FROM:
        _candles(source, chosen)
    else:
        _many_candles(source, chosen)
    _below(source, chosen)


def _of(watched: WatchedMarket, rows: Iterable[Row] | None) -> Row | None:
    return next((row for row in rows or () if row.market_id == watched.market_id), None)


@page.live
def _quote(source: DashboardReads, watched: WatchedMarket) -> None:
    ids = [other.market_id for other in source.markets().known]
    latest, statistics = source.latest(ids), source.statistics(ids)
    slow = statistics.value
    trade = _of(watched, latest.value)
    day = _of(watched, slow.day if slow else None)
    rate = _of(watched, slow.rates if slow else None)
    silent_us = silent_after_us(rate.mean_interval_us if rate is not None else None)
    at_us = now_us()
    seen: dict[int, Seen] = st.session_state.setdefault(_SEEN, {})
    trend, moved, stale = Trend.FLAT, False, False
    if trade is not None:
        trend, moved = trend_since(seen.get(watched.market_id), trade.price)
        seen[watched.market_id] = Seen(trade.price, trend)
        stale = bool(latest.problem) or at_us - trade.ts_us > silent_us
    line = chart_html.quote(watched.market, trade, day, trend, at_us, moved=moved, stale=stale)
    st.html(html.wrap(line, frozen=stale))


def _draw_candles(source: DashboardReads, chosen: Chosen) -> None:
    candles, problem = _read(source, chosen)
    if candles is None:
        st.html(html.wrap(html.empty("The warehouse cannot be read", problem, *page.START)))
        return
    view = candles
    if view.last is None and chosen.until_us is not None:
        end = formats.local(chosen.until_us, viewer.zone(), seconds=False)
        title = f"No candles of {chosen.watched.market} in the {chosen.range_name} before {end}"
        st.html(html.wrap(html.empty(title, "Stored history may begin later: choose a later end.")))
        return
    if view.last is None:
        st.html(
            html.wrap(
                html.empty(
                    f"No candles of {chosen.watched.market} yet",
                    "History is collected every few minutes, and the first live trade starts a candle here.",
                    *page.START,
                )
            )
        )
        return
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    levels = _levels(source, chosen.watched.market)
    events = st_echarts(
        plot.options(view, viewer.palette(), JsCode, levels=levels),
        events={"zr:click": plot.PICK, "zr:dblclick": plot.CLOSER},
        height=f"{plot.height_px(view)}px",
        replace_merge=["series"],
        key=" ".join(
            [
                "candles",
                str(chosen.watched.market),
                chosen.interval,
                chosen.range_name,
                str(chosen.until_us),
                *plot.panes(view),
            ]
        ),
    )
    far = ", ".join(formats.price(level.price) for level in plot.outside(view, levels))
    further = f"Alerts outside the visible prices: {far}." if far else ""
    st.html(html.wrap(chart_html.notes(view, viewer.zone(), further)))
    _picked(events, chosen)


_candles = page.live(_draw_candles)
_many_candles = page.every(SLOW_S)(_draw_candles)
_past_candles = page.every(PAST_S)(_draw_candles)


def _read(source: DashboardReads, chosen: Chosen) -> tuple[chart_view.ChartView | None, str]:
    watched, interval = chosen.watched, chosen.interval
    warm_up = max((indicator.warm_up(interval.us) for indicator in chosen.indicators), default=0)
    history = source.history(watched, interval, chosen.range_us + warm_up * interval.us, chosen.until_us)
    readings: list[Reading[Any]] = [history]
    candles: Sequence[Candle] = history.value.candles if history.value else ()
    if chosen.until_us is None:
        tail = source.tail(watched, interval)
        readings.insert(0, tail)
        latest = source.latest([other.market_id for other in source.markets().known])
        candles = chart_view.close_at(
            chart_view.splice(candles, tail.value or ()), _of(watched, latest.value)
        )
    page.show_problem(readings)
    if history.value is None:
        return None, history.problem or ""
    view = chart_view.build(
        candles,
        history.value.gaps,
        interval=interval,
        range_us=chosen.range_us,
        indicators=chosen.indicators,
        now_us=now_us(),
        until_us=chosen.until_us,
    )
    return view, ""


def _closes(
    source: DashboardReads, watched: WatchedMarket, chosen: Chosen
) -> tuple[list[Candle], Reading[History]]:
    """The candles of one market in the chart, without those read only to warm up indicators."""
    history = source.history(watched, chosen.interval, chosen.range_us, chosen.until_us)
    tail = source.tail(watched, chosen.interval).value if chosen.until_us is None else None
    return chart_view.splice(history.value.candles if history.value else (), tail or ()), history


def _levels(source: DashboardReads, market: Market) -> tuple[plot.Level, ...]:
    """The prices of the armed alerts of the dashboard on this market."""
    known = source.alerts(CLIENT).value
    return tuple(
        plot.Level(price, f"alert {formats.price(price)}")
        for rule in (known.rules if known else ())
        if rule.armed
        and rule.symbol == market.symbol
        and rule.exchange in (None, market.exchange)
        and isinstance(price := getattr(rule.condition, "price", None), float)
    )


def _picked(events: object, chosen: Chosen) -> None:
    """A click offers an alert at its price; a double click zooms in."""
    market = chosen.watched.market
    event = events.get("chart_event") if isinstance(events, dict) else None
    if isinstance(event, dict) and event != st.session_state.get(_CLICK):
        st.session_state[_CLICK] = event
        price = event.get("price")
        _zoom_in(event, chosen)
        if isinstance(price, int | float) and price > 0:
            st.session_state[_PICKED] = (str(market), round(price, formats.price_decimals(price)))
    picked_market, price = st.session_state.get(_PICKED, ("", 0.0))
    if picked_market == str(market):
        address = f"alerts?symbol={quote_url(str(market))}&price={price:.{formats.price_decimals(price)}f}"
        st.html(html.wrap(html.offer(f"New alert at {formats.price(price)}", address)))


def _zoom_in(event: Mapping[str, object], chosen: Chosen) -> None:
    """Zoom in to shorter candles after a double click."""
    at_ms, from_ms, until_ms = event.get("at_ms"), event.get("from_ms"), event.get("until_ms")
    if (
        isinstance(at_ms, int | float)
        and isinstance(from_ms, int | float)
        and isinstance(until_ms, int | float)
    ):
        shown = Window(round(from_ms) * 1_000, round(until_ms) * 1_000 + chosen.interval.us)
        zoomed = chart_view.zoomed(shown, round(at_ms) * 1_000, chosen.range_name, now_us())
        if zoomed is not None:
            controls.zoom_in(*zoomed)


def _below(source: DashboardReads, chosen: Chosen) -> None:
    """Downloads of the candles shown."""

    def table(write: Callable[[Sequence[Candle]], bytes]) -> Callable[[], bytes]:
        def content() -> bytes:
            every = [_closes(source, watched, chosen)[0] for watched in (chosen.watched, *chosen.others)]
            return write([candle for candles in every for candle in candles])

        return content

    until = "" if chosen.until_us is None else f"-until-{moments.iso(chosen.until_us)}"
    compared = "-compared" if chosen.others else ""
    name = f"{chosen.watched.market}{compared}-{chosen.interval}-{chosen.range_name}{until}".replace(":", "-")
    with st.container(horizontal=True, gap="small"):
        for label, ending, mime, write in download.FORMATS:
            st.download_button(
                label,
                table(write),
                f"{name}.{ending}",
                mime,
                icon=":material/download:",
                on_click="ignore",
                help="The candles shown, times in UTC.",
            )


@page.every(SLOW_S)
def _comparison(source: DashboardReads, chosen: Chosen) -> None:
    candles: dict[str, Sequence[Candle]] = {}
    gaps: dict[str, Sequence[Window]] = {}
    readings = []
    for watched in (chosen.watched, *chosen.others):
        candles[str(watched.market)], history = _closes(source, watched, chosen)
        readings.append(history)
        gaps[str(watched.market)] = history.value.gaps if history.value else ()
    page.show_problem(readings)
    lines = compare.rebase(candles, (chosen.until_us or now_us()) - chosen.range_us, gaps)
    if not lines:
        st.html(html.wrap(html.empty("No candles to compare yet", *page.START)))
        return
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    st_echarts(
        compare.options(lines, viewer.palette(), JsCode),
        height=COMPARE_HEIGHT,
        replace_merge=["series"],
        key=f"compare {sorted(candles)} {chosen.range_name} {chosen.interval} {chosen.until_us}",
    )
    st.html(html.wrap(chart_html.comparison_notes(lines, chosen.interval, viewer.zone())))
