"""Each page, as Streamlit runs it, in each state of the warehouse."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest
import streamlit as st
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import URL, text
from sqlalchemy.exc import ProgrammingError
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from app.dashboard import data, moments
from coinwatch.settings import Settings
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, now_us, to_datetime, utc_day
from coinwatch.windows import Window
from tests.app.dashboard import kept, told
from tests.app.dashboard.stock import Stock, unreachable
from tests.waiting import eventually_sync

PRICES = {
    "binance:BTC-USDT": 67_000.0,
    "coinbase:BTC-USDT": 67_010.0,
    "kraken:BTC-USDT": 67_020.0,
    "binance:ETH-USDT": 3_200.0,
    "kraken:ETH-USDT": 3_201.0,
}
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"

BTC_PRICES = {name.partition(":")[0]: price for name, price in PRICES.items() if "BTC" in name}

OpenPage = Callable[..., AppTest]


@pytest.fixture
def stock(database: URL) -> Iterator[Stock]:
    stock = Stock.open(database, now_us())
    yield stock
    stock.close()


@pytest.fixture
def open_page(database: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenPage]:
    def run(name: str, *, url: str | None = None, **query: str) -> AppTest:
        monkeypatch.setenv(
            "COINWATCH_DATABASE_URL",
            url or database.set(drivername="postgresql").render_as_string(hide_password=False),
        )
        monkeypatch.setenv("COINWATCH_MARKETS", ",".join(PRICES))
        script = (
            f"from app.dashboard import banner, data, page_{name}\n"
            f"source = data.source()\nbanner.watch(source)\npage_{name}.show(source)"
        )
        page = AppTest.from_string(script, default_timeout=120)
        for key, value in query.items():
            page.query_params[key] = value
        return page.run()

    yield run
    st.cache_resource.clear()
    gc.unfreeze()


def words(page: AppTest) -> str:
    """Everything the page says in HTML. Fails when the page shows an error of its own."""
    assert not page.exception
    said = "\n".join(str(element.body) for element in page.html)
    assert "could not be drawn" not in said
    return said


PAGES = ["overview", "chart", "averages", "alerts", "data"]


@pytest.mark.parametrize("name", PAGES)
def test_with_no_data_a_page_says_what_to_do(open_page: OpenPage, name: str) -> None:
    said = words(open_page(name))
    assert "No data yet" in said
    assert "<code>coinwatch up</code>" in said


@pytest.mark.parametrize("name", PAGES)
def test_with_no_database_a_page_says_so(open_page: OpenPage, name: str) -> None:
    said = words(open_page(name, url=NOWHERE))
    assert "The database does not answer" in said
    assert "Trying again by itself" in said


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
        eventually_sync(lambda: "Shown are the last numbers read" in words(page.run()))
        if name in ("overview", "chart", "averages"):
            assert "67," in words(page)
    eventually_sync(lambda: "Shown are the last numbers read" not in words(page.run()))


def test_a_database_that_is_slow_leaves_the_last_numbers(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("overview")
    assert "67,144.02" in words(page)
    with stock.engine.begin() as conn:
        conn.execute(text("lock table ticks"))
        eventually_sync(lambda: "The database is slow to answer" in words(page.run()), timeout_s=60)
        assert "Shown are the last numbers read" in words(page)
        assert "67,144.02" in words(page)
    eventually_sync(lambda: "slow to answer" not in words(page.run()), timeout_s=60)


def lately(stock: Stock) -> Window:
    """The last minutes up to this second."""
    second_us = stock.now_us // SECOND_US * SECOND_US
    return Window(second_us - 5 * MINUTE_US, second_us + SECOND_US)


def test_overview_shows_a_card_per_symbol(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    said = words(open_page("overview"))
    assert "67,144.02" in said  # the median of three: coinbase
    assert "2 of" not in said
    assert "5</b> of 5 markets live" in said
    assert "only binance and kraken: a sound average needs 3 exchanges" in said
    assert "24 h" in said
    assert 'href="chart?symbol=BTC-USDT"' in said


def test_overview_marks_stale_prices(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES, age_s=400)
    said = words(open_page("overview"))
    assert said.count('class="cw-badge stale"') == 2
    assert "no exchange is live; last known price" in said
    assert "0</b> of 5 markets live" in said


def test_overview_without_any_trade_asks_for_the_daemon(open_page: OpenPage, stock: Stock) -> None:
    stock.markets(list(PRICES), streaming=False)
    assert "Is the ingest daemon running?" in words(open_page("overview"))


def test_overview_without_any_trade_says_how_the_exchanges_are(open_page: OpenPage, stock: Stock) -> None:
    stock.markets(list(PRICES))
    said = words(open_page("overview"))
    assert "kraken is live, but nothing has traded yet" in said
    assert "Is the ingest daemon running?" not in said


def test_overview_shows_the_symbols_in_its_address(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("overview", symbols="ethusdt")
    assert page.multiselect(key="symbols").value == ["ETH-USDT"]
    assert "ETH<span> / USDT" in words(page)
    assert "BTC<span> / USDT" not in words(page)
    assert "no market trades DOGE-USDT" in words(open_page("overview", symbols="DOGE-USDT"))


def test_chart_shows_a_market(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("chart", symbol="eth/usdt", exchange="kraken", interval="15m", overlays="sma20")
    said = words(page)
    assert "ETH<span> / USDT</span><small>kraken" in said
    assert "Candles of 15m." in said
    assert page.multiselect(key="overlays").value == ["SMA 20"]
    assert page.query_params == {
        "symbol": "ETH-USDT",
        "exchange": "kraken",
        "range": "1d",
        "interval": "15m",
        "overlays": "SMA 20",
    }


def test_chart_clamps_a_hand_edited_address(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("chart", symbol="<b>x", exchange="mtgox", range="9y", interval="7m", overlays="zigzag")
    said = words(page)
    for word in ("&lt;b&gt;x", "mtgox", "9y", "7m", "is not known"):
        assert word in said
    assert page.selectbox(key="symbol").value == "BTC-USDT"
    assert page.query_params["range"] == "1d"


def test_chart_follows_its_controls(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("chart", exchange="coinbase")
    page.selectbox(key="symbol").set_value("ETH-USDT").run()
    assert page.selectbox(key="exchange").value == "binance"
    page.segmented_control(key="range").set_value("1w").run()
    page.segmented_control(key="interval").set_value("1m").run()
    assert "10,080 candles of 1m are too many for one chart; shown as 5m." in words(page)
    assert page.query_params["interval"] == "1m"


def test_chart_compares_markets(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("chart", exchange="kraken", compare="binance:ETH-USDT")
    said = words(page)
    assert "each 100 at" in said
    assert "binance:ETH-USDT" in said
    assert page.query_params["compare"] == "binance:ETH-USDT"
    assert "Cannot be compared with: &lt;b&gt;" in words(open_page("chart", compare="<b>"))


def test_chart_shows_the_past_by_its_address(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    until_us = stock.now_us // MINUTE_US * MINUTE_US - 600 * MINUTE_US
    page = open_page("chart", symbol="BTC-USDT", range="6h", until=moments.iso(until_us))
    assert "Candles of 1m" in words(page)
    assert moments.iso(until_us) in page.query_params["until"]
    page.button("chart_earlier").click().run()
    assert moments.iso(until_us - 180 * MINUTE_US) in page.query_params["until"]
    for _ in range(5):
        page.button("chart_later").click().run()
    assert "until" not in page.query_params
    page.text_input("chart_until").input("1999-01-01 10:00").run()
    assert "No candles of binance:BTC-USDT in the 6h before 1 Jan 1999, 10:00 UTC" in words(page)
    page.text_input("chart_until").input("soon").run()
    assert "is not a moment" in words(page)


def test_chart_draws_indicators_and_offers_its_candles(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("chart", overlays="macd")
    words(page)
    assert page.query_params["overlays"] == "MACD 12 26 9"


def test_chart_marks_a_stale_price(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES, age_s=400)
    assert 'class="cw-badge stale"' in words(open_page("chart"))


def test_chart_without_candles_says_what_to_do(open_page: OpenPage, stock: Stock) -> None:
    stock.markets(list(PRICES))
    assert "No candles of binance:BTC-USDT yet" in words(open_page("chart"))


def test_chart_says_what_is_missing(open_page: OpenPage, stock: Stock) -> None:
    ids = stock.day(PRICES)
    with stock.engine.begin() as conn:
        conn.execute(
            text("""update candle_coverage set covered = covered - tstzmultirange(tstzrange(
                now() - interval '3 hours', now() - interval '2 hours')) where market_id = :id"""),
            {"id": ids["binance:BTC-USDT"]},
        )
    assert "Hatched: not yet collected" in words(open_page("chart"))


def test_averages_show_what_a_price_is_made_of(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    stock.averages("BTC-USDT", BTC_PRICES, lately(stock))
    page = open_page("averages", symbol="btc/usdt", range="5m", overlays="ema5")
    said = words(page)
    assert "<small>average of 2</small>" in said
    assert "Constituents now" in said
    assert "its last trade is 75 s old" in said
    assert "Share of volume" in said
    assert page.query_params == {"symbol": "BTC-USDT", "range": "5m", "overlays": "EMA 5"}


def test_averages_of_a_moment_are_told_apart_from_now(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    stock.averages("BTC-USDT", BTC_PRICES, lately(stock))
    at = f"{to_datetime(stock.now_us - 2 * MINUTE_US):%Y-%m-%dT%H:%M:%SZ}"
    page = open_page("averages", at=at)
    assert "Constituents at" in words(page)
    assert page.query_params["at"] == at
    next(button for button in page.button if button.label == "Now").click().run()
    assert "Constituents now" in words(page)
    assert "at" not in page.query_params
    assert "No average was computed" in words(open_page("averages", at="2020-01-01 10:00"))


def test_averages_of_a_moment_long_ago_are_drawn_around_it(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    at_us = stock.now_us // SECOND_US * SECOND_US - 240 * MINUTE_US
    stock.averages("BTC-USDT", BTC_PRICES, Window(at_us - 5 * MINUTE_US, at_us + 5 * MINUTE_US))
    said = words(open_page("averages", symbol="BTC-USDT", range="1h", at=moments.iso(at_us)))
    assert "A point every 12 s" in said
    assert "Constituents at" in said
    assert "No average" not in said


def test_averages_refuse_nonsense_and_say_when_there_are_none(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    said = words(open_page("averages", symbol="doge", range="9y", overlays="x", at="<i>"))
    for word in ("doge", "9y", "is not known", "&lt;i&gt;", "is not a moment", "No average of BTC-USDT"):
        assert word in said


def test_an_old_average_is_marked(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    old_us = stock.now_us // SECOND_US * SECOND_US - 3 * MINUTE_US
    stock.averages("BTC-USDT", BTC_PRICES, Window(old_us - MINUTE_US, old_us))
    said = words(open_page("averages"))
    assert 'class="cw-badge stale"' in said
    assert "Constituents, last known" in said


@pytest.mark.parametrize(
    "view", ["completeness", "checks", "interruptions", "streams", "runs", "outlets", "errors"]
)
def test_data_has_words_for_every_view_without_anything(open_page: OpenPage, stock: Stock, view: str) -> None:
    stock.markets(list(PRICES), streaming=False)
    page = open_page("data", view=view)
    said = words(page)
    assert page.query_params["view"] == view.capitalize()
    assert 'class="cw-empty"' in said


def test_data_shows_what_is_missing_and_what_broke(open_page: OpenPage, stock: Stock) -> None:
    ids = stock.day(PRICES)
    kraken = ids["kraken:BTC-USDT"]
    with stock.engine.begin() as conn:
        conn.execute(
            text("""update candle_coverage
                set wanted = tstzmultirange(tstzrange(now() - interval '3 d', null))
                where market_id = :id"""),
            {"id": kraken},
        )
        conn.execute(
            text("""
                insert into stream_gaps (market_id, daemon, cause, state, after_ts, before_ts, recovered,
                    opened_at, closed_at, reason)
                values (:id, 'd', 'disconnected', 'filled', now(), now(), 77, now(), now(), null),
                    (:id, 'd', 'silent', 'unfillable', now(), now(), 0, now(), now(), 'REST <i>ends</i>')"""),
            {"id": kraken},
        )
        conn.execute(
            text("""update stream_health set state = 'down', last_error = 'no <b>route</b>',
                last_error_at = now() where market_id = :id"""),
            {"id": kraken},
        )
    said = words(open_page("data"))
    assert "Streams live</span><b>4 of 5" in said
    assert "<b>71.4" in said  # three days wanted of one, one of each stored
    assert "2 d missing, all markets" in said
    said = words(open_page("data", view="interruptions", market="kraken"))
    assert "77" in said
    assert "REST &lt;i&gt;ends&lt;/i&gt;" in said
    said = words(open_page("data", view="streams", market="kraken:BTC-USDT"))
    assert "no &lt;b&gt;route&lt;/b&gt;" in said
    assert "binance:BTC-USDT" not in said
    said = words(open_page("data", view="errors"))
    assert "stream down: no &lt;b&gt;route" in said
    assert "trades lost for good (silent)" in said


def test_data_shows_a_day_minute_by_minute(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    yesterday = utc_day(stock.now_us - DAY_US).isoformat()
    page = open_page("data", market="kraken:BTC-USDT", day=yesterday)
    said = words(page)
    assert said.count('class="track"') == 24
    assert "with trades" in said
    assert page.query_params["day"] == yesterday
    assert 'href="chart?symbol=BTC-USDT&amp;exchange=kraken"' in said
    page = open_page("data", market="kraken", day=yesterday)  # of an exchange there is no such thing
    assert "day" not in page.query_params
    assert "1999-01-01" in words(open_page("data", market="kraken:BTC-USDT", day="1999-01-01"))


def test_data_shows_what_care_is_taken(open_page: OpenPage, stock: Stock) -> None:
    kept.everything(stock, stock.day(PRICES)["kraken:BTC-USDT"])
    said = words(open_page("data", view="checks"))
    assert "volume 5.25 here, 5.5 there" in said
    assert "1 of 2 markets compared" in said
    said = words(open_page("data", view="storage"))
    for word in ("candles</td>", "of at most 20.0 GB", "for ever", "No day of trades is over"):
        assert word in said
    said = words(open_page("data", view="outlets"))
    for word in ("disabled</span> 410 &lt;gone&gt;", "given up", "500 it broke", "rose above 9"):
        assert word in said
    assert "hook.example" not in said  # addresses are as good as secrets
    said = words(open_page("data", view="runs"))
    for word in ("7 succeeded", "news_job", "503 &lt;b&gt;", "oldest: kraken:BTC-USDT"):
        assert word in said
    said = words(open_page("data", view="streams"))
    assert "7 runs succeeded in 24 h, 2 failed" in said
    said = words(open_page("data", view="errors"))
    assert "1 alert was given up in a week" in said


def test_runs_link_to_where_dagster_is(
    open_page: OpenPage, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.everything(stock, stock.day(PRICES)["kraken:BTC-USDT"])
    run = "runs/0a7f2d1c-1111-2222-3333-444455556666"
    assert f'href="http://127.0.0.1:3000/{run}"' in words(open_page("data", view="runs"))
    monkeypatch.setenv("COINWATCH_DAGSTER_URL", "https://dagster.example.org/")
    st.cache_resource.clear()
    assert f'href="https://dagster.example.org/{run}"' in words(open_page("data", view="runs"))


def test_data_clamps_a_hand_edited_address(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    said = words(open_page("data", view="<x>", market="mtgox", days="7y"))
    for word in ("&lt;x&gt;", "mtgox", "7y"):
        assert word in said


def test_fundamentals_without_anything_say_what_to_do(open_page: OpenPage, stock: Stock) -> None:
    assert "Nothing is known of assets yet" in words(open_page("fundamentals"))
    assert "The database does not answer" in words(open_page("fundamentals", url=NOWHERE))


def test_fundamentals_list_assets_and_show_one(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    told.assets(stock, picture="https://img.example/btc.png")
    page = open_page("fundamentals")
    assert "2 of 2 assets" in words(page)
    page = open_page("fundamentals", category="meme", search="oth")
    assert "1 of 2 assets" in words(page)
    assert page.query_params == {"category": "Meme", "search": "oth"}
    assert "No asset is like that" in words(open_page("fundamentals", search="<b>"))
    page = open_page("fundamentals", size="over $10 b", sort="furthest from ath")
    assert "1 of 2 assets" in words(page)
    assert page.query_params == {"size": "over $10 B", "sort": "Furthest from ATH"}
    assert "The newest number was told" in words(page)
    said = words(open_page("fundamentals", size="<x>", sort="9"))
    assert "&lt;x&gt;" in said
    assert "No asset is called" in words(open_page("fundamentals", asset="<b>"))
    page = open_page("fundamentals", asset="bitcoin", measure="price")
    said = words(page)
    for word in (
        "67,000.00",
        "of at most 21.0 M",
        "$7.0 B",
        "CoinMarketCap",
        "A currency.",
        "website: bitcoin.org",
        'href="fundamentals?category=Layer%201"',
        "background-image:url(&quot;https://img.example/btc.png&quot;)",
        "ethereum</td>",
        "Launched on 3 Jan 2009.",
        "Chart of BTC-USDT",
    ):
        assert word in said
    assert "javascript" not in said
    assert page.query_params["measure"] == "Price"
    _button(page, "All assets").click().run()
    assert "2 of 2 assets" in words(page)


def test_sentiment_without_anything_says_what_to_do(open_page: OpenPage, stock: Stock) -> None:
    said = words(open_page("sentiment"))
    assert "Nothing is known of sentiment yet" in said
    assert "set <code>COINWATCH_X_BEARER_TOKEN</code>" in said
    assert "The database does not answer" in words(open_page("sentiment", url=NOWHERE))


def test_sentiment_shows_the_market_and_each_asset(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    told.sentiment(stock)
    said = words(open_page("sentiment"))
    for word in ("<b>23</b> extreme fear", "Ether falls", "Bitcoin &lt;b&gt;soars", "and 1 more"):
        assert word in said
    page = open_page("sentiment", base="btc", range="1MO")
    said = words(page)
    assert page.query_params == {"base": "BTC", "range": "1mo"}
    assert "Ether falls" not in said
    assert "Price: daily closes of" in said
    assert "X: 1,200 posts." in said
    assert "News <b>+0.40</b>" in said
    assert "How the score of BTC comes about" in said
    assert "Nothing told yet: it is asked every hour" in said
    page = open_page("sentiment", news="bad")
    assert "Ether falls" in words(page)
    assert "soars" not in words(page)
    assert page.query_params["news"] == "bad"
    said = words(open_page("sentiment", base="<b>", range="9y"))
    assert "&lt;b&gt;" in said
    assert "9y" in said
    assert "<b>23</b> extreme fear" in words(open_page("overview"))


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINWATCH_DATABASE_URL", "mysql://x")
    page = AppTest.from_file("../../../app/dashboard/main.py", default_timeout=120).run()
    assert "COINWATCH_DATABASE_URL" in words(page)
    assert "must start with postgresql://" in words(page)


def test_where_a_login_is_set_up_nothing_is_shown_without_it(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    open_page("overview")  # sets the environment
    page = AppTest.from_file("../../../app/dashboard/main.py", default_timeout=120)
    page.secrets["auth"] = {"client_id": "x"}
    said = words(page.run())
    assert "Sign in to see the dashboard" in said
    assert "67,144.02" not in said
    assert _button(page, "Sign in")


def test_reads_cannot_write(stock: Stock, database: URL) -> None:
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    source = data.Source(Settings(_env_file=None, database_url=url))
    reading = source.read(("write",), lambda conn: conn.execute(text("delete from markets")).rowcount)
    assert reading.problem is not None
    for way_in in (source._engine, source._writer):
        with way_in.connect() as conn:
            conn.execute(text("set transaction read write"))
            with pytest.raises(ProgrammingError) as caught:
                conn.execute(text("insert into markets (exchange) values ('x')"))
            assert isinstance(caught.value.orig, InsufficientPrivilege)
    source.close()


def test_the_whole_script_opens_on_the_overview(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    open_page("overview")  # sets the environment
    page = AppTest.from_file("../../../app/dashboard/main.py", default_timeout=120).run()
    assert "67,144.02" in words(page)
    assert [title.value for title in page.title] == ["Overview"]


def _button(page: AppTest, label: str) -> Button:
    return next(button for button in page.button if button.label == label)
