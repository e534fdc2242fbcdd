"""A plain page to compare the dashboard's chart with: the same candles by ``st.plotly_chart``, no more."""

from __future__ import annotations

import plotly.graph_objects as go  # type: ignore[import-untyped]
import streamlit as st
from plotly.subplots import make_subplots  # type: ignore[import-untyped]
from sqlalchemy import Engine

from app.dashboard.chart import view
from coinwatch.intervals import Interval
from coinwatch.records import Candle
from coinwatch.settings import load_settings
from coinwatch.times import now_us, to_datetime
from coinwatch.windows import Window
from warehouse.candles import chart_reads
from warehouse.db.connect import database_url, engine


@st.cache_resource
def _engine() -> Engine:
    return engine(database_url(load_settings()), application_name="bench")


@st.cache_data(ttl=30, max_entries=50)
def _read(exchange: str, symbol: str, interval: str, range_us: int) -> tuple[Candle, ...]:
    length = Interval(interval)
    window = Window(length.floor(now_us() - range_us), now_us() + length.us)
    with _engine().connect() as conn:
        known = chart_reads.watched_markets(conn, load_settings().markets)
        watched = next(
            watched
            for watched in known
            if watched.market.exchange == exchange and str(watched.market.symbol) == symbol
        )
        return chart_reads.candles(conn, watched, length, window, now_us())


def main() -> None:
    """Draw the chart that the address asks for."""
    asked = st.query_params
    range_us = view.RANGES[asked.get("range", "1d")]
    names = [interval.value for interval in Interval]
    fitting = view.fitting(view.AUTO, range_us)[0]
    interval = st.segmented_control("Candle", names, default=fitting.value) or fitting.value
    candles = _read(asked["exchange"], asked["symbol"], interval, range_us)
    times = [to_datetime(candle.open_ts_us) for candle in candles]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.8, 0.2])
    figure.add_trace(
        go.Candlestick(
            x=times,
            open=[candle.open for candle in candles],
            high=[candle.high for candle in candles],
            low=[candle.low for candle in candles],
            close=[candle.close for candle in candles],
        ),
        row=1,
        col=1,
    )
    figure.add_trace(go.Bar(x=times, y=[candle.volume for candle in candles]), row=2, col=1)
    figure.update_layout(height=560, xaxis_rangeslider_visible=False)
    st.plotly_chart(figure)


main()
