"""The Fundamentals page: a table of all assets, and a page for each asset."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.dashboard.data.source import DashboardReads
from app.dashboard.fundamentals import asset_page, reads, table, view
from app.dashboard.fundamentals.asset_page import NO_DATA_HINTS
from app.dashboard.fundamentals.view import Asset
from app.dashboard.streamlit_private import ColumnConfig
from app.dashboard.ui import html as ui_html
from app.dashboard.ui import page, query, viewer
from app.dashboard.ui.html import note
from app.dashboard.ui.url import PageUrl
from coinwatch import formats
from coinwatch.times import from_datetime, now_us, to_datetime

ALL_CATEGORIES, ANY_SIZE = "All categories", "any"
DEFAULT_SORT = "Rank"


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
        asset_page.show(source, url, asset, back=_back)
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
    st.html(ui_html.wrap(ui_html.empty(title, *NO_DATA_HINTS)))


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
        table.styled(frame, viewer.palette(), to_datetime(now_us())),
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


def _back() -> None:
    st.session_state["fundamentals_asset"] = None
