"""The page of an asset: its numbers, their history, the sources, and a description."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote as quote_url

import streamlit as st

from app.dashboard.data.source import DashboardReads
from app.dashboard.fundamentals import html as fundamentals_html
from app.dashboard.fundamentals import plot, reads, view
from app.dashboard.fundamentals.view import Asset
from app.dashboard.ui import html as ui_html
from app.dashboard.ui import page, query, viewer
from app.dashboard.ui.html import section
from app.dashboard.ui.url import PageUrl
from coinwatch import formats
from coinwatch.times import now_us

DEFAULT_RANGE, DEFAULT_MEASURE = "1mo", "Market cap"
HEIGHT = "320px"
NO_DATA_HINTS = (
    "Dagster polls CoinGecko and CoinMarketCap when it starts and then every hour; no API key is needed.",
    "`coinwatch status` shows whether Dagster runs; the Data page shows its last runs.",
)


def show(source: DashboardReads, url: PageUrl, asset: Asset, back: Callable[[], None]) -> None:
    """Draw the page of ``asset``."""
    row = asset.row
    st.set_page_config(page_title=f"{row.name} · Fundamentals · Coinwatch")
    st.button("All assets", icon=":material/arrow_back:", on_click=back)
    reading = reads.asset_detail(source, row.id)
    zone, at_us = viewer.zone(), now_us()
    for detail in reading.value or ():
        pictures = source.settings.dashboard_coin_pictures
        st.html(ui_html.wrap(fundamentals_html.headline(detail, asset, at_us, pictures=pictures)))
    if asset.best is not None:
        st.html(ui_html.wrap(fundamentals_html.facts(asset, zone, at_us)))
    else:
        st.html(ui_html.wrap(ui_html.empty(f"No source has data on {row.name} now", *NO_DATA_HINTS)))
    notes: list[str] = []
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        measures, ranges = tuple(view.MEASURES), tuple(view.RANGES)
        page.preset(
            url,
            "fundamentals_measure",
            query.option("measure", url.get("measure"), measures, DEFAULT_MEASURE),
            notes,
        )
        measure = st.segmented_control("History", measures, key="fundamentals_measure", required=True)
        page.preset(
            url, "fundamentals_range", query.option("range", url.get("range"), ranges, DEFAULT_RANGE), notes
        )
        length = st.segmented_control("Range", ranges, key="fundamentals_range", required=True)
    page.notice(" ".join(note for note in notes if note))
    measure, length = measure or DEFAULT_MEASURE, length or DEFAULT_RANGE
    url.write({"asset": [row.id], "measure": [measure], "range": [length]})
    _history(source, asset, measure, length)
    if asset.by_source:
        by_source = fundamentals_html.sources(asset.by_source, zone, at_us)
        st.html(ui_html.wrap(section("By source", by_source)))
    for detail in reading.value or ():
        if about := fundamentals_html.about(detail, zone):
            st.html(ui_html.wrap(section("About", about)))
    if row.bases:
        offers = [
            ui_html.offer(f"Sentiment of {base}", f"sentiment?base={quote_url(base)}") for base in row.bases
        ]
        offers += [
            ui_html.offer(f"Chart of {symbol}", f"chart?symbol={quote_url(str(symbol))}")
            for symbol in page.symbols_of(source.markets().value or ())
            if symbol.base in row.bases
        ]
        st.html(ui_html.wrap(*offers))


@page.every(60)
def _history(source: DashboardReads, asset: Asset, measure: str, length: str) -> None:
    reading = reads.metric_history(source, asset.row.id, view.RANGES[length])
    page.show_problem([reading])
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    drawn = plot.history_options(reading.value or (), measure, viewer.palette(), JsCode)
    if drawn is None:
        hint = (
            f"No source reported it in the last {formats.duration(view.RANGES[length])}. "
            "Each hour adds a point."
        )
        st.html(ui_html.wrap(ui_html.empty(f"No history of {measure.lower()}", hint)))
        return
    st_echarts(drawn, height=HEIGHT, key=f"history {asset.row.id} {measure} {length}")
