"""The Alerts page, as Streamlit runs it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from app.dashboard.alerts.fields import CONDITIONS
from coinwatch.alerts import NO_MARKET, Above, All, Change, Crosses, NewRule, Quiet, Repeat, Rule, Way
from coinwatch.records import Symbol
from tests.app.dashboard.pages import OpenPage, words
from tests.app.dashboard.stock import Stock
from warehouse.alerts import rules as alerts_rules

PRICES = {
    "binance:BTC-USDT": 67_000.0,
    "kraken:BTC-USDT": 67_020.0,
    "binance:ETH-USDT": 3_200.0,
}
WIDGETS = ("number_input", "selectbox", "button_group", "multiselect", "text_input")


@pytest.fixture
def stock(stock: Stock) -> Stock:
    stock.day(PRICES)
    return stock


@pytest.fixture
def open_page(stock: Stock, open_page: OpenPage) -> OpenPage:
    return partial(open_page, "alerts")


def rules(stock: Stock) -> list[Rule]:
    with stock.engine.connect() as conn:
        return alerts_rules.list_rules(conn, client="dashboard").rules


def widget(page: AppTest, kind: str, label: str) -> Any:
    """The first widget of a kind with this label."""
    return next(element for element in getattr(page, kind) if element.label == label)


def test_an_alert_is_created_listed_and_deleted(open_page: OpenPage, stock: Stock) -> None:
    page = open_page(symbol="btcusdt")
    assert "No alerts yet" in words(page)
    price = widget(page, "number_input", "Price")
    assert price.value == 67_144.02
    price.set_value(70_000.0)
    widget(page, "text_input", "Note").set_value("<b>sell</b>").run()
    assert page.query_params["price"] == "70000"
    widget(page, "button", "Create alert").click().run()
    shown = words(page)
    assert "BTC-USDT at or above 70,000.00" in shown
    assert "&lt;b&gt;sell&lt;/b&gt;" in shown
    assert '<span class="cw-pill ok">armed</span>' in shown
    assert widget(page, "text_input", "Note").value == ""
    (rule,) = rules(stock)
    assert isinstance(rule.condition, Above)
    assert (rule.typed, rule.condition.price, rule.note) == ("btcusdt", 70_000.0, "<b>sell</b>")
    widget(page, "menu_button", "More").click("Delete").run()
    assert "No alerts yet" not in words(page)  # it asks for confirmation first
    widget(page, "button", "Keep it").click().run()
    assert rules(stock)
    widget(page, "menu_button", "More").click("Delete").run()
    widget(page, "button", "Delete alert").click().run()
    assert "No alerts yet" in words(page)
    assert rules(stock) == []


def test_an_unreadable_alert_is_reported_beside_the_others(open_page: OpenPage, stock: Stock) -> None:
    rule = NewRule(
        symbol=Symbol("BTC", "USDT"), condition=Above(price=1e6), typed="btcusdt", client="dashboard"
    )
    with stock.engine.begin() as conn:
        alerts_rules.create_rule(conn, rule)
        bad = alerts_rules.create_rule(conn, rule)
        conn.execute(
            text("update alert_rules set condition = :newer where id = :id"),
            {"newer": '{"type": "moon_phase"}', "id": bad.id},
        )
    page = open_page()
    [warning] = page.warning
    assert f"rule {bad.id} cannot be read" in warning.value
    assert "BTC-USDT at or above 1,000,000" in words(page)


def test_each_condition_has_a_form(open_page: OpenPage) -> None:
    page = open_page()
    for kind, form in CONDITIONS.items():
        widget(page, "selectbox", "Fires when").set_value(kind).run()
        words(page)
        labels = {element.label for kind in WIDGETS for element in getattr(page, kind)}
        assert {field.label for field in form.fields if field.matters({"source": "trade"})} <= labels
        assert page.query_params["condition"] == kind


def test_an_alert_of_several_conditions_with_terms(open_page: OpenPage, stock: Stock) -> None:
    page = open_page(symbol="kraken:BTC-USDT", condition="crosses", price="66000")
    widget(page, "selectbox", "Direction").set_value("up")
    widget(page, "button", "Add a condition").click().run()
    widget(page, "selectbox", "And when").set_value("change").run()
    widget(page, "number_input", "Percent").set_value(2.5)
    widget(page, "selectbox", "Within").set_value("4h")
    widget(page, "button_group", "Fires").set_value("every").run()
    widget(page, "selectbox", "Cooldown").set_value("1h")
    widget(page, "selectbox", "Holds for").set_value("1m")
    widget(page, "toggle", "Quiet hours").set_value(True).run()
    widget(page, "button", "Create alert").click().run()
    words(page)
    (rule,) = rules(stock)
    assert rule.exchange == "kraken"
    assert rule.condition == All(
        of=(Crosses(price=66_000.0, way=Way.UP), Change(percent=2.5, within_s=4 * 3_600))
    )
    assert (rule.terms.repeat, rule.terms.cooldown_s, rule.terms.holds_for_s) == (Repeat.EVERY, 3_600, 60)
    assert rule.terms.quiet == Quiet(22 * 60, 7 * 60, "UTC")


def test_an_invalid_value_is_reported_at_its_field(open_page: OpenPage, stock: Stock) -> None:
    assert "no market trades DOGE-USDT here" in words(open_page(symbol="dogeusdt"))
    page = open_page(condition="change")
    widget(page, "number_input", "Percent").set_value(None).run()
    assert "Required." not in words(page)  # not before the first attempt to save
    widget(page, "button", "Create alert").click().run()
    shown = words(page)
    assert "Required." in shown
    assert "Not saved: a value above is missing or invalid." in shown
    widget(page, "number_input", "Percent").set_value(-3.0).run()
    assert "Must be a number of percent above 0" in words(page)
    widget(page, "number_input", "Percent").set_value(1.0)
    widget(page, "text_input", "Message").set_value("{secret}").run()
    assert "{symbol}, {exchange}" in words(page)
    assert rules(stock) == []


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"price": "abc"}, "&#39;abc&#39; is not a price"),
        ({"price": "<b>"}, "&lt;b&gt;"),
        ({"price": "-5"}, "is not a price"),
        ({"condition": "<i>"}, "Unknown condition &#39;&lt;i&gt;"),
        ({"symbol": "<u>"}, "&lt;u&gt;"),
        ({"view": "<s>"}, "&lt;s&gt;"),
        ({"state": "x"}, "Unknown state"),
    ],
)
def test_an_edited_address_falls_back_with_a_note(
    open_page: OpenPage, query: dict[str, str], text: str
) -> None:
    assert text in words(open_page(**query))


def test_a_click_on_a_chart_starts_an_alert_there(open_page: OpenPage) -> None:
    page = open_page(symbol="binance:BTC-USDT", price="60000.5")
    assert widget(page, "selectbox", "Fires when").value == "below"
    assert widget(page, "number_input", "Price").value == 60_000.5
    page = open_page(symbol="binance:BTC-USDT", price="70000")
    assert widget(page, "selectbox", "Fires when").value == "above"


def test_rules_are_paused_snoozed_edited_and_duplicated(open_page: OpenPage, stock: Stock) -> None:
    page = open_page(symbol="btcusdt", price="70000")
    widget(page, "button", "Create alert").click().run()
    widget(page, "button", "Pause").click().run()
    assert "paused</span>" in words(page)
    assert "manually" in words(page)
    widget(page, "button", "Resume").click().run()
    assert "armed</span>" in words(page)
    widget(page, "menu_button", "More").click("Snooze 8 hours").run()
    assert "snoozed</span>" in words(page)
    assert "for 8.0 h more" in words(page)
    widget(page, "button", "Resume").click().run()
    widget(page, "menu_button", "More").click("Duplicate").run()
    widget(page, "number_input", "Price").set_value(71_000.0)
    widget(page, "button", "Create alert").click().run()
    assert [rule.condition for rule in rules(stock)] == [Above(price=71_000.0), Above(price=70_000.0)]
    widget(page, "button", "Edit").click().run()
    assert "Edit alert 2" in [heading.value for heading in page.subheader]
    widget(page, "number_input", "Price").set_value(72_000.0)
    widget(page, "button", "Save alert").click().run()
    assert [rule.condition for rule in rules(stock)] == [Above(price=72_000.0), Above(price=70_000.0)]
    assert "New alert" in [heading.value for heading in page.subheader]


def test_rules_are_searched(open_page: OpenPage, stock: Stock) -> None:
    open_page(symbol="btcusdt", price="70000").button(key="alert_save").click().run()
    open_page(symbol="ethusdt", price="4000").button(key="alert_save").click().run()
    shown = words(open_page(search="eth 4,000"))
    assert "ETH-USDT at or above 4,000.00" in shown
    assert "BTC-USDT at or above 70,000" not in shown
    assert "No matching alerts" in words(open_page(state="paused"))


def test_without_events_and_outlets_hints_are_shown(open_page: OpenPage) -> None:
    assert "No alerts have fired yet" in words(open_page(view="history"))
    assert "coinwatch outlets add dashboard URL" in words(open_page(view="outlets"))


def test_many_rules_are_listed_in_pages(open_page: OpenPage, stock: Stock) -> None:
    with stock.engine.begin() as conn:
        conn.execute(
            text("""
                insert into alert_rules (client, base, quote, typed, condition)
                select 'dashboard', 'BTC', 'USDT', 'btcusdt', jsonb_build_object('type', 'above', 'price', n)
                from generate_series(100001.0, 100045.0) n""")
        )
    page = open_page()
    assert "above 100,045.00" in words(page)
    assert "above 100,025.00" not in words(page)
    pagination: Any = page.get("pagination")[0]
    pagination.set_value(3).run()
    assert "above 100,001.00" in words(page)
    widget(page, "text_input", "Search").set_value("100,045").run()
    assert "above 100,045.00" in words(page)


def test_a_condition_without_a_market_needs_no_symbol(open_page: OpenPage, stock: Stock) -> None:
    page = open_page(condition="job_failed")
    assert "This alert does not depend on a market" in words(page)
    widget(page, "button", "Create alert").click().run()
    assert "A job failed" in words(page)
    (rule,) = rules(stock)
    assert rule.symbol == NO_MARKET
    widget(page, "button", "Edit").click().run()
    widget(page, "selectbox", "Fires when").set_value("above").run()
    assert widget(page, "selectbox", "Symbol or market").value == "BTC-USDT"
    widget(page, "number_input", "Price").set_value(70_000.0).run()
    widget(page, "button", "Save alert").click().run()
    assert "BTC-USDT at or above 70,000.00" in words(page)


def test_history_and_outlets_show_deliveries(open_page: OpenPage, stock: Stock) -> None:
    with stock.engine.begin() as conn:
        conn.execute(
            text("""
                insert into alert_rules (client, base, quote, typed, armed, fired_at, condition)
                values ('dashboard', 'BTC', 'USDT', 'btcusdt', false, now(), '{"type": "above", "price": 1}');
                insert into alert_events
                    (event_id, rule_id, client, symbol, exchange, trade_id, price, ts, message, late)
                values (1, 1, 'dashboard', 'BTC-USDT', 'kraken', 5, 67000.5, '2026-11-20 12:00:00+00',
                    'Take profit <b>', true);
                insert into outlets (client, kind, url, after_event_id)
                values ('dashboard', 'apprise', 'tgram://secret/words', 0);
                insert into deliveries (event_id, outlet_id, state, attempts, error)
                values (1, 1, 'dead', 10, 'no <route>');
                update alert_counter set last_event_id = 1"""),
        )
    shown = words(open_page(view="history"))
    for cell in (
        "20 Nov 2026, 12:00:00 UTC",
        "kraken:BTC-USDT",
        "67,000.50",
        "Take profit &lt;b&gt;",
        "late</span>",
        "apprise 1: given up",
        "no &lt;route&gt;",
    ):
        assert cell in shown
    shown = words(open_page(view="outlets"))
    assert "tgram://" in shown
    assert "secret" not in shown
    assert "no &lt;route&gt;" in shown
    assert "fired</span>" in words(open_page())


def test_a_test_alert_is_marked(open_page: OpenPage, stock: Stock) -> None:
    page = open_page(symbol="btcusdt", price="70000")
    widget(page, "text_input", "Note").set_value("now")
    widget(page, "button", "Create alert").click().run()
    widget(page, "menu_button", "More").click("Send a test").run()
    assert "Test sent as event 1" in page.toast[-1].value
    (rule,) = rules(stock)
    assert rule.armed
    with stock.engine.connect() as conn:
        (event,) = alerts_rules.recent_events(conn, client="dashboard")
    assert event.message.startswith("TEST, nothing has happened: now: BTC-USDT")
    widget(page, "menu_button", "More").click("History").run()
    shown = words(page)
    assert "Alert 1" in [element.value for element in page.markdown]
    assert "TEST, nothing has happened" in shown
    assert page.query_params["view"] == "history"
