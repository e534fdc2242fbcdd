"""The Fundamentals page: a table of all assets, and a page for each asset."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote as quote_url

import streamlit as st

from app.dashboard.data.source import DashboardReads
from app.dashboard.fundamentals import html as fundamentals_html
from app.dashboard.fundamentals import plot, reads, table, view
from app.dashboard.fundamentals.view import Asset
from app.dashboard.streamlit_private import ColumnConfig
from app.dashboard.ui import html as ui_html
from app.dashboard.ui import page, query
from app.dashboard.ui.style import palette
from app.dashboard.ui.tables import note, section
from app.dashboard.ui.url import PageUrl
from coinwatch import formats
from coinwatch.times import from_datetime, now_us, to_datetime

ALL_CATEGORIES, ANY_SIZE = "All categories", "any"
DEFAULT_SORT = "Rank"
DEFAULT_RANGE, DEFAULT_MEASURE = "1mo", "Market cap"
HEIGHT = "320px"
_NO_DATA_HINTS = (
    "Dagster polls CoinGecko and CoinMarketCap when it starts and then every hour; no API key is needed.",
    "`coinwatch status` shows whether Dagster runs; the Data page shows its last runs.",
)


def show(source: DashboardReads) -> None:
    """Draw the page."""
    reading = reads.assets(source)
    if not reading.value:
        st.title("Fundamentals", anchor=False)
        _wait(source)
        return
    url = PageUrl("fundamentals")
    assets = reading.value
    if url.fresh("fundamentals_asset"):
        st.session_state["fundamentals_asset"] = url.get("asset")
    chosen_id = st.session_state["fundamentals_asset"]
    asset = next((asset for asset in assets if asset.row.id == chosen_id), None)
    if asset is not None:
        page.show_problem([reading])
        _asset(source, url, asset)
        return
    st.title("Fundamentals", anchor=False)
    page.show_problem([reading])
    if chosen_id:
        page.notice(f"Unknown asset {str(chosen_id)[:40]!r}. Showing all assets.")
        st.session_state["fundamentals_asset"] = None
    _list(source, url, assets)


@page.every(5)
def _wait(source: DashboardReads) -> None:
    reading = reads.assets(source)
    if reading.value:
        st.rerun(scope="app")
    page.show_problem([reading])
    title = "The warehouse cannot be read" if reading.problem else "No asset data yet"
    st.html(ui_html.wrap(ui_html.empty(title, *_NO_DATA_HINTS)))


def _list(source: DashboardReads, url: PageUrl, assets: Sequence[Asset]) -> None:
    notes: list[str] = []
    options = [ALL_CATEGORIES, *view.categories(assets)]
    sizes, sorts = (ANY_SIZE, *view.SIZES), tuple(view.SORTS)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        if url.fresh("fundamentals_search"):
            st.session_state["fundamentals_search"] = (url.get("search") or "")[:60]
        search = st.text_input("Search", key="fundamentals_search", placeholder="Name or ticker", width=220)
        page.preset(
            url,
            "fundamentals_category",
            query.option("category", url.get("category"), options, ALL_CATEGORIES),
            notes,
        )
        category = st.selectbox("Category", options, key="fundamentals_category", width=240)
        page.preset(url, "fundamentals_size", query.option("size", url.get("size"), sizes, ANY_SIZE), notes)
        size = st.selectbox(
            "Size",
            sizes,
            key="fundamentals_size",
            width=170,
            help="Market cap: price times circulating supply.",
        )
        page.preset(
            url, "fundamentals_sort", query.option("sort", url.get("sort"), sorts, DEFAULT_SORT), notes
        )
        sort = st.selectbox(
            "Sort by",
            sorts,
            format_func=lambda name: view.SORT_LABELS.get(name, name),
            key="fundamentals_sort",
            width=180,
        )
        if url.fresh("fundamentals_ours"):
            st.session_state["fundamentals_ours"] = url.get("ours") == "1"
        ours = st.toggle("Watched markets only", key="fundamentals_ours")
    page.notice(" ".join(note for note in notes if note))
    url.write(
        {
            "search": [search] if search else [],
            "category": [category] if category != ALL_CATEGORIES else [],
            "size": [size] if size != ANY_SIZE else [],
            "sort": [sort] if sort != DEFAULT_SORT else [],
            "ours": ["1"] if ours else [],
        }
    )
    _table(
        source,
        None if category == ALL_CATEGORIES else category,
        None if size == ANY_SIZE else size,
        search,
        sort,
        ours,
    )


@page.every(30)
def _table(
    source: DashboardReads, category: str | None, size: str | None, search: str, sort: str, ours: bool
) -> None:
    reading = reads.assets(source)
    assets = reading.value or ()
    shown = view.matching(assets, category, ours=ours, search=search, size=size)
    if not shown:
        hint = "Change the category, the size or the search."
        st.html(ui_html.wrap(ui_html.empty("No matching assets", hint)))
        return
    shown = view.ordered(shown, sort)
    frame = table.table(shown)
    event = st.dataframe(
        table.styled(frame, palette(st.context.theme.type), to_datetime(now_us())),
        hide_index=True,
        key="fundamentals_table",
        on_select="rerun",
        selection_mode="single-row",
        placeholder=formats.UNKNOWN,
        height=min(720, 38 + 35 * len(frame)),
        column_config=_columns(),
    )
    newest = view.newest(shown)
    age = f" Last update: {formats.age(from_datetime(newest), now_us())}." if newest else ""
    summary = f"{len(shown)} of {len(assets)} assets, in USD.{age} Select a row for details."
    st.html(ui_html.wrap(note(summary)))
    rows = event.selection.rows
    if rows and rows[0] < len(shown):
        st.session_state["fundamentals_asset"] = shown[rows[0]].row.id
        st.rerun()


def _columns() -> dict[str, ColumnConfig]:
    number, moment = st.column_config.NumberColumn, st.column_config.DatetimeColumn
    return {
        "Rank": number(help="By market cap", width="small", pinned=True),
        "Asset": st.column_config.TextColumn(pinned=True),
        "Market cap": number(help="Price times circulating supply"),
        "Value locked": number(help="TVL: value deposited in its contracts, in USD, by DefiLlama"),
        "Circulating": number(help="Units in circulation"),
        "Total supply": number(help="Units that exist, including locked ones"),
        "Max supply": number(help="Most units that can ever exist"),
        "Diluted cap": number(help="Price times max supply"),
        "ATH": number(help="All-time high"),
        "ATH on": moment(help="Date of the all-time high"),
        "From ATH": number(help="Price relative to its all-time high"),
        "ATL": number(help="All-time low"),
        "ATL on": moment(help="Date of the all-time low"),
        "From ATL": number(help="Price relative to its all-time low"),
        "Markets": st.column_config.TextColumn(help="Bases of the watched markets"),
        "Updated": moment(help="Age of the price, by its source's clock"),
        "Source": st.column_config.TextColumn(help="Source of the price; the asset's page lists all sources"),
    }


def _asset(source: DashboardReads, url: PageUrl, asset: Asset) -> None:
    row = asset.row
    st.set_page_config(page_title=f"{row.name} · Fundamentals · Coinwatch")
    st.button("All assets", icon=":material/arrow_back:", on_click=_back)
    reading = reads.asset_detail(source, row.id)
    zone, at_us = page.zone(), now_us()
    for detail in reading.value or ():
        st.html(ui_html.wrap(fundamentals_html.headline(detail, asset, at_us)))
    if asset.best is not None:
        st.html(ui_html.wrap(fundamentals_html.facts(asset, zone, at_us)))
    else:
        st.html(ui_html.wrap(ui_html.empty(f"No source has data on {row.name} now", *_NO_DATA_HINTS)))
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


def _back() -> None:
    st.session_state["fundamentals_asset"] = None


@page.every(60)
def _history(source: DashboardReads, asset: Asset, measure: str, length: str) -> None:
    reading = reads.metric_history(source, asset.row.id, view.RANGES[length])
    page.show_problem([reading])
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    drawn = plot.history_options(reading.value or (), measure, palette(st.context.theme.type), JsCode)
    if drawn is None:
        hint = (
            f"No source reported it in the last {formats.duration(view.RANGES[length])}. "
            "Each hour adds a point."
        )
        st.html(ui_html.wrap(ui_html.empty(f"No history of {measure.lower()}", hint)))
        return
    st_echarts(drawn, height=HEIGHT, key=f"history {asset.row.id} {measure} {length}")
