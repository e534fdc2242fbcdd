"""A warehouse to fill, and its pages as Streamlit runs them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest
import streamlit as st
from sqlalchemy import URL
from streamlit.testing.v1 import AppTest

from app.dashboard.serving.access import process_access
from coinwatch.settings import process_settings
from coinwatch.times import now_us
from tests.app.dashboard.pages import OpenPage
from tests.app.dashboard.stock import PRICES, Stock
from tests.warehouse.service_logins import login
from warehouse.db import roles

_MAIN = sys.modules["__main__"]


@pytest.fixture(autouse=True)
def _same_main_module() -> Iterator[None]:
    """AppTest makes its page the main module of this process, which a process started later would run."""
    yield
    sys.modules["__main__"] = _MAIN


@pytest.fixture(autouse=True)
def _undecided_access() -> None:
    """Let each test decide by its own settings who may see the dashboard."""
    process_access.cache_clear()


@pytest.fixture
def stock(database: URL) -> Iterator[Stock]:
    """An empty warehouse to fill."""
    stock = Stock.open(database, now_us())
    yield stock
    stock.close()


@pytest.fixture
def open_page(database: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenPage]:
    """Runs a page of this name on the test's warehouse, or on ``url``, with an address of ``query``."""

    def run(name: str, *, url: str | None = None, **query: str) -> AppTest:
        monkeypatch.setenv(
            "COINWATCH_DATABASE_URL",
            url
            or login(database, roles.DASHBOARD)
            .set(drivername="postgresql")
            .render_as_string(hide_password=False),
        )
        monkeypatch.setenv("COINWATCH_MARKETS", ",".join(PRICES))
        script = (
            f"from app.dashboard.{name} import page\n"
            "from app.dashboard.data.source import source\nfrom app.dashboard.ui import banner\n"
            "reads = source()\nbanner.watch(reads)\npage.show(reads)"
        )
        monkeypatch.setenv("COINWATCH_DASHBOARD_LOGIN", "off")
        process_settings.cache_clear()
        page = AppTest.from_string(script, default_timeout=120)
        for key, value in query.items():
            page.query_params[key] = value
        return page.run()

    yield run
    st.cache_resource.clear()
    gc.unfreeze()
