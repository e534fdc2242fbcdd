"""The pages of the dashboard; ``server.py`` serves them."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import streamlit as st

from app.dashboard.alerts import page as alerts_page
from app.dashboard.alerts import toasts
from app.dashboard.averages import page as averages_page
from app.dashboard.chart import page as chart_page
from app.dashboard.data import source as data_source
from app.dashboard.data_quality import page as data_quality_page
from app.dashboard.fundamentals import page as fundamentals_page
from app.dashboard.overview import page as overview_page
from app.dashboard.sentiment import page as sentiment_page
from app.dashboard.serving.access import process_access
from app.dashboard.streamlit_private import Page
from app.dashboard.ui import banner, html, style
from app.dashboard.ui import page as ui_page
from coinwatch.errors import SettingsError

# A file of our own: Streamlit would fetch a named icon from another host.
ICON = Path(__file__).with_name("icon.png")


@st.cache_resource(show_spinner=False)
def _start() -> None:
    """Once a process: what is loaded now is frozen, so that no garbage collection visits it again."""
    import_module("streamlit_echarts")  # can be imported only where Streamlit runs
    gc.collect()
    gc.freeze()


def main() -> None:
    """Draw the page the viewer chose."""
    st.set_page_config(page_title="Coinwatch", page_icon=ICON, layout="wide")
    st.html(style.CSS)
    _start()
    try:
        if process_access().sign_in and not _has_signed_in():
            return
        source = data_source.source()
    except SettingsError as error:
        st.html(html.wrap(html.empty("A setting is wrong", str(error), "Correct it and restart.")))
        return
    pages = [
        _page(overview_page.show, source, "Overview", ":material/grid_view:", default=True),
        _page(chart_page.show, source, "Chart", ":material/candlestick_chart:"),
        _page(averages_page.show, source, "Averages", ":material/balance:"),
        _page(fundamentals_page.show, source, "Fundamentals", ":material/account_balance:"),
        _page(sentiment_page.show, source, "Sentiment", ":material/sentiment_satisfied:"),
        _page(alerts_page.show, source, "Alerts", ":material/notifications:"),
        _page(data_quality_page.show, source, "Data", ":material/database:"),
    ]
    chosen = st.navigation(pages, position="top")
    st.set_page_config(page_title=f"{chosen.title} · Coinwatch")
    top = st.container(key="banner")
    try:
        chosen.run()
    finally:  # a page without data stops early
        with top:
            banner.watch(source)
        toasts.watch(source)
        _sign_out()


def _has_signed_in() -> bool:
    """Whether the viewer has signed in; a viewer who has not is shown only a button to do so."""
    if st.user.get("is_logged_in") is True:
        return True
    st.html(html.wrap(html.empty("Coinwatch", "Sign in to see the dashboard.")))
    st.button("Sign in", type="primary", icon=":material/login:", on_click=st.login)
    return False


def _sign_out() -> None:
    """The name of the viewer and a button to sign out, below every page; nothing without a login."""
    if st.user.get("is_logged_in"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(f"Signed in as {st.user.get('email') or st.user.get('name') or 'a guest'}")
            st.button("Sign out", type="tertiary", icon=":material/logout:", on_click=st.logout)


def _page(
    show: Callable[[data_source.DashboardReads], None],
    source: data_source.DashboardReads,
    title: str,
    icon: str,
    *,
    default: bool = False,
) -> Page:
    draw = partial(ui_page.guarded(show), source)
    return st.Page(draw, title=title, icon=icon, url_path=title.lower(), default=default)


main()
