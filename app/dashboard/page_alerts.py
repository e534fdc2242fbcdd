"""Alerts: make, list and delete rules; what has fired."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError

from app.dashboard import alert_form, formats, markup, page
from app.dashboard.data import Source, describe_failure
from app.dashboard.url import PageUrl
from coinwatch.alerts import Alert, Direction, Rule
from coinwatch.errors import CoinwatchError
from coinwatch.records import Market, Symbol
from coinwatch.times import now_us
from warehouse.reads import LastTrade, WatchedMarket

MOST_LISTED = 100
_SAID = "alerts_said"
_COLUMNS = (("Time", "time"), ("Market", "time"), ("Price", "number"), ("Message", "text"))


def show(source: Source) -> None:
    """Draw the page."""
    st.title("Alerts", anchor=False)
    markets = page.markets(source)
    form, lists = st.columns([1, 2], gap="large")
    with form:
        _form(source, markets)
    with lists:
        _lists(source)


def _form(source: Source, markets: Sequence[WatchedMarket]) -> None:
    known = [watched.market for watched in markets]
    symbols = page.symbols_of(markets)
    url = PageUrl("alerts")
    if url.fresh("alert_symbol"):
        st.session_state["alert_symbol"] = url.one("symbol") or str(symbols[0])
    with st.container(border=True, key="card_form"):
        st.subheader("New alert", anchor=False)
        typed = st.selectbox(
            "Symbol or market",
            dict.fromkeys([*map(str, symbols), *map(str, known), st.session_state["alert_symbol"]]),
            key="alert_symbol",
            accept_new_options=True,
            help="A pair such as BTC-USDT watches every exchange, binance:BTC-USDT only one. "
            "Any usual spelling can be typed: btcusdt, BTC/USDT.",
        )
        url.write({"symbol": [typed]})
        try:
            symbol, exchange = alert_form.resolve(typed, known)
        except CoinwatchError as error:
            st.html(markup.wrap(markup.banner(f"{error}.")))
            return
        now = _price(source.latest([one.market_id for one in markets]).value or (), markets, symbol, exchange)
        st.segmented_control(
            "Fires when a trade is",
            [one.value for one in Direction],
            default=Direction.ABOVE.value,
            format_func=lambda value: f"at or {value}",
            key="alert_direction",
            required=True,
        )
        key = f"alert_price {symbol} {exchange}"
        decimals = formats.price_decimals(now) if now else 2
        if key not in st.session_state and now:
            st.session_state[key] = round(now, decimals)
        st.number_input(
            f"Price in {symbol.quote}",
            min_value=0.0,
            value=None,
            step=10.0**-decimals,
            format=f"%.{decimals}f",
            key=key,
            help="Filled in with the price of now.",
        )
        st.text_input(
            "Note",
            max_chars=alert_form.LONGEST_NOTE,
            key="alert_note",
            placeholder="Optional",
            help="Comes with the alert.",
        )
        st.button(
            "Create alert",
            type="primary",
            icon=":material/add_alert:",
            width="stretch",
            on_click=_create,
            args=(source, known, typed, key),
        )
        said = st.session_state.pop(_SAID, None)
        if said:
            st.html(markup.wrap(markup.banner(said)))


def _create(source: Source, known: Sequence[Market], drawn_for: str, price_key: str) -> None:
    # From the state, not from the last run: a click may arrive together with what was typed before it.
    state = st.session_state
    if state["alert_symbol"] != drawn_for:
        state[_SAID] = "Not created: the symbol has changed, so look at the price first."
        return
    try:
        wish = alert_form.new_rule(
            state["alert_symbol"], state["alert_direction"], state[price_key], state["alert_note"], known
        )
        rule = source.create_rule(wish)
    except CoinwatchError as error:
        st.session_state[_SAID] = f"Not created: {error}."
    except SQLAlchemyError as error:
        st.session_state[_SAID] = f"Not created: {describe_failure(error)}."
    else:
        st.session_state["alert_note"] = ""
        st.toast(f"Alert {rule.id} created: {alert_form.sentence(rule)}", icon=":material/check:")


def _delete(source: Source, rule_id: int) -> None:
    try:
        source.delete_rule(rule_id, client=alert_form.CLIENT)
    except (CoinwatchError, SQLAlchemyError) as error:
        st.session_state[_SAID] = f"Not deleted: {describe_failure(error)}."


@page.live
def _lists(source: Source) -> None:
    alerts = source.alerts(alert_form.CLIENT)
    markets = source.markets()
    latest = source.latest([one.market_id for one in markets.value or ()])
    page.trouble([alerts, latest])
    if alerts.value is None:
        st.html(markup.wrap(markup.empty("The alerts cannot be read", *page.START)))
        return
    at_us = now_us()
    rules, events = alerts.value
    armed = [rule for rule in rules if rule.armed]
    fired = [rule for rule in rules if not rule.armed]
    st.subheader(f"Waiting · {len(armed)}", anchor=False)
    if not armed:
        hint = "Make one with the form: it fires once, at the next trade that meets it."
        st.html(markup.wrap(markup.empty("No alert is waiting", hint)))
    _rules(source, armed, latest.value or (), markets.value or (), at_us)
    if fired:
        st.subheader(f"Fired · {len(fired)}", anchor=False)
        _rules(source, fired, (), (), at_us)
    st.subheader("History", anchor=False)
    st.html(markup.wrap(_history(events)))


def _rules(
    source: Source,
    rules: Sequence[Rule],
    latest: Iterable[LastTrade],
    markets: Sequence[WatchedMarket],
    at_us: int,
) -> None:
    trades = tuple(latest)
    for rule in rules[:MOST_LISTED]:
        now = _price(trades, markets, rule.symbol, rule.exchange)
        state = alert_form.state(rule, now, at_us)
        key = f"card_rule {rule.id}"
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=key):
            line = markup.rule(alert_form.sentence(rule), state, rule.note or "", armed=rule.armed)
            st.html(markup.wrap(line))
            st.button(
                "Delete",
                key=f"delete {rule.id}",
                type="tertiary",
                icon=":material/delete:",
                on_click=_delete,
                args=(source, rule.id),
            )
    if len(rules) > MOST_LISTED:
        st.caption(f"and {len(rules) - MOST_LISTED:,} older ones")


def _history(events: Sequence[Alert]) -> str:
    if not events:
        return '<p class="muted">Nothing has fired yet.</p>'
    rows = [
        (
            formats.moment(event.ts_us),
            f"{event.exchange}:{event.symbol}",
            formats.price(event.price),
            event.message,
        )
        for event in events
    ]
    return markup.table(_COLUMNS, rows)


def _price(
    latest: Iterable[LastTrade], markets: Sequence[WatchedMarket], symbol: Symbol, exchange: str | None
) -> float | None:
    """The price of now: of one exchange, or the median of all."""
    ids = {
        one.market_id
        for one in markets
        if one.market.symbol == symbol and exchange in (None, one.market.exchange)
    }
    prices = [trade.price for trade in latest if trade.market_id in ids]
    return median(prices) if prices else None
