"""The backtest of an alert, drawn on the chart of its market."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app.dashboard.alerts import form
from app.dashboard.alerts import html as alerts_html
from app.dashboard.alerts.lookback import WINDOW_US, Fired, Lookback, Lookbacks
from app.dashboard.chart import plot
from app.dashboard.chart import view as chart_view
from app.dashboard.data.source import DashboardReads
from app.dashboard.ui import html as ui_html
from app.dashboard.ui import page, viewer
from app.dashboard.ui.style import Palette
from coinwatch import formats
from coinwatch.alerts import NewRule
from coinwatch.intervals import Interval
from coinwatch.times import now_us
from warehouse.candles.chart_reads import WatchedMarket

POLL_S = 0.5


@st.cache_resource(show_spinner=False, on_release=Lookbacks.close)
def lookbacks() -> Lookbacks:
    """The backtests of this process."""
    return Lookbacks()


def show(
    source: DashboardReads,
    rule: NewRule,
    until_us: int,
    markets: Sequence[WatchedMarket],
    close: Callable[[], None],
) -> None:
    """Draw the backtest of ``rule`` over the 30 days up to ``until_us``, or that it is running."""
    with st.container(border=True, key="alert_preview"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.subheader("The last 30 days", anchor=False)
            st.button(
                "Close", key="alert_close_preview", type="tertiary", icon=":material/close:", on_click=close
            )
        asked = lookbacks().ask(rule, until_us)
        if not asked.done():
            st.html(ui_html.wrap(alerts_html.summary(form.sentence(rule), ())))
            _wait(rule, until_us)
            return
        result = asked.result()
        if result.problem:
            page.notice(f"This alert cannot be backtested: {result.problem}.")
            return
        st.html(ui_html.wrap(alerts_html.lookback(form.sentence(rule), result, viewer.zone())))
        _chart(source, rule, result, markets)
        if result.fired:
            listed = min(len(result.fired), alerts_html.MOST_FIRINGS)
            with st.expander("When" if result.count == 1 else f"The last {listed} times"):
                st.html(ui_html.wrap(alerts_html.firings(result.fired, viewer.zone())))


@page.every(POLL_S)
def _wait(rule: NewRule, until_us: int) -> None:
    if lookbacks().ask(rule, until_us).done():
        st.rerun()
    st.html(ui_html.wrap(alerts_html.progress("Reading trades and candles…")))


def _chart(source: DashboardReads, rule: NewRule, result: Lookback, markets: Sequence[WatchedMarket]) -> None:
    watched = _market(rule, result.fired, markets)
    if watched is None:
        return
    interval, _ = chart_view.fitting(chart_view.AUTO, WINDOW_US)
    history = source.history(watched, interval, WINDOW_US)
    if history.value is None or not history.value.candles:
        words = f"There are no candles of {watched.market} to draw this on."
        st.html(ui_html.wrap(ui_html.note(words)))
        return
    view = chart_view.build(
        history.value.candles,
        history.value.gaps,
        interval=interval,
        range_us=WINDOW_US,
        indicators=(),
        now_us=now_us(),
    )
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    colours = viewer.palette()
    levels = [plot.Level(price, f"alert {formats.price(price)}") for price in form.price_levels(rule)]
    options = plot.options(view, colours, JsCode, levels=levels)
    options["series"].append(marks(result.fired, interval, colours))
    st_echarts(
        options,
        height=f"{plot.height_px(view)}px",
        replace_merge=["series"],
        key=f"alert preview {watched.market}",
    )
    words = f"{watched.market}, candles of {interval}. A diamond: within that candle it would have fired."
    st.html(ui_html.wrap(ui_html.note(words)))


def marks(fired: Sequence[Fired], interval: Interval, colours: Palette) -> dict[str, Any]:
    """A diamond in each candle in which it would have fired, at the price of the first time."""
    first: dict[int, float] = {}
    for firing in fired:
        if firing.price is not None:
            first.setdefault(interval.floor(firing.ts_us), firing.price)
    return {
        "id": "fired",
        "name": "Fired",
        "type": "scatter",
        "symbol": "diamond",
        "symbolSize": 11,
        "z": 5,
        "itemStyle": {"color": colours.accent, "borderColor": colours.surface, "borderWidth": 1},
        "data": [[str(open_us // 1_000), price] for open_us, price in first.items()],
    }


def _market(rule: NewRule, fired: Sequence[Fired], markets: Sequence[WatchedMarket]) -> WatchedMarket | None:
    """The market to draw: that of the rule, else the one where it would have fired most."""
    counts: dict[str | None, int] = {}
    for firing in fired:
        counts[firing.exchange] = counts.get(firing.exchange, 0) + 1
    own = [
        watched
        for watched in markets
        if watched.market.symbol == rule.symbol and rule.exchange in (None, watched.market.exchange)
    ]
    return max(own, key=lambda watched: counts.get(watched.market.exchange, 0), default=None)
