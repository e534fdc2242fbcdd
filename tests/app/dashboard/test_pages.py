"""What holds for every page, as Streamlit runs it, in each state of the warehouse; and the whole script."""

from __future__ import annotations

import pytest
from sqlalchemy import URL, text
from streamlit.testing.v1 import AppTest

from app.dashboard.data import source as data_source
from coinwatch.errors import WarehouseRejected
from coinwatch.settings import Settings, process_settings
from tests.app.dashboard.pages import NOWHERE, OpenPage, button, lately, words
from tests.app.dashboard.serving.provider import AUTH
from tests.app.dashboard.stock import BTC_PRICES, PRICES, Stock, unreachable
from tests.waiting import eventually_sync

PAGES = ["overview", "chart", "averages", "alerts", "data_quality"]


@pytest.mark.parametrize("name", PAGES)
def test_without_data_a_page_shows_what_to_do(open_page: OpenPage, name: str) -> None:
    shown = words(open_page(name))
    assert "No data yet" in shown
    assert "<code>coinwatch up</code>" in shown


@pytest.mark.parametrize("name", PAGES)
def test_without_a_database_a_page_reports_it(open_page: OpenPage, name: str) -> None:
    shown = words(open_page(name, url=NOWHERE))
    assert "The database does not answer" in shown
    assert "Retrying automatically" in shown


@pytest.mark.parametrize("name", PAGES)
def test_a_database_without_tables_is_named(open_page: OpenPage, empty_database: URL, name: str) -> None:
    url = empty_database.set(drivername="postgresql").render_as_string(hide_password=False)
    assert "coinwatch db upgrade" in words(open_page(name, url=url))


@pytest.mark.parametrize("name", PAGES)
def test_a_database_that_goes_away_leaves_the_last_numbers(
    open_page: OpenPage, stock: Stock, name: str
) -> None:
    stock.day(PRICES)
    stock.averages("BTC-USDT", BTC_PRICES, lately(stock))
    page = open_page(name)
    words(page)
    with unreachable(stock.url):
        eventually_sync(lambda: "Showing the last values read" in words(page.run()))
        if name in ("overview", "chart", "averages"):
            assert "67," in words(page)
    eventually_sync(lambda: "Showing the last values read" not in words(page.run()))


def test_a_database_that_is_slow_leaves_the_last_numbers(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("overview")
    assert "67,144.02" in words(page)
    with stock.engine.begin() as conn:
        conn.execute(text("lock table ticks"))
        eventually_sync(lambda: "The database is slow to answer" in words(page.run()), timeout_s=60)
        assert "Showing the last values read" in words(page)
        assert "67,144.02" in words(page)
    eventually_sync(lambda: "slow to answer" not in words(page.run()), timeout_s=60)


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINWATCH_DATABASE_URL", "mysql://x")
    page = AppTest.from_file("../../../app/dashboard/main.py", default_timeout=120).run()
    assert "COINWATCH_DATABASE_URL" in words(page)
    assert "must start with postgresql://" in words(page)


def test_nothing_is_shown_without_a_sign_in_whatever_the_file_becomes(
    open_page: OpenPage, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock.day(PRICES)
    open_page("overview")  # sets the environment
    monkeypatch.setenv("COINWATCH_DASHBOARD_LOGIN", "required")
    process_settings.cache_clear()
    page = AppTest.from_file("../../../app/dashboard/main.py", default_timeout=120)
    page.secrets["auth"] = AUTH
    for _ in range(2):
        shown = words(page.run())
        assert "Sign in to see the dashboard" in shown
        assert "67,144.02" not in shown
        assert button(page, "Sign in")
        page.secrets.clear()  # as when the file cannot be read any more


def test_a_sign_in_that_is_not_clear_is_named(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    open_page("overview")  # sets the environment
    monkeypatch.delenv("COINWATCH_DASHBOARD_LOGIN")
    process_settings.cache_clear()
    page = AppTest.from_file("../../../app/dashboard/main.py", default_timeout=120)
    page.secrets["Auth"] = AUTH
    shown = words(page.run())
    assert "the section of the sign-in is spelt [auth]" in shown
    assert "No data yet" not in shown


def test_reads_cannot_write(stock: Stock, database: URL) -> None:
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    source = data_source.DashboardReads(Settings(_env_file=None, database_url=url))
    reading = source.read(("write",), lambda conn: conn.execute(text("delete from markets")).rowcount)
    assert reading.problem is not None
    for way_in in (source._engine, source._writer):
        with way_in.connect() as conn:
            conn.execute(text("set transaction read write"))
            with pytest.raises(WarehouseRejected) as caught:
                conn.execute(text("insert into markets (exchange) values ('x')"))
            assert caught.value.kind == "InsufficientPrivilege"
    source.close()


def test_the_whole_script_opens_on_the_overview(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    open_page("overview")  # sets the environment
    page = AppTest.from_file("../../../app/dashboard/main.py", default_timeout=120).run()
    assert "67,144.02" in words(page)
    assert [title.value for title in page.title] == ["Overview"]
