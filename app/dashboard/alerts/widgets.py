"""The alert form, drawn from the descriptions of its fields, with a message at each problem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Literal

import streamlit as st

from app.dashboard.alerts import draft, form, states
from app.dashboard.alerts import fields as alerts_fields
from app.dashboard.alerts import html as alerts_html
from app.dashboard.alerts.fields import CONDITIONS, QUIET
from app.dashboard.ui import html as ui_html
from app.dashboard.ui import viewer
from coinwatch import formats
from coinwatch.alerts import NO_MARKET
from coinwatch.alerts.conditions.fields import Field, Kind
from coinwatch.errors import CoinwatchError
from coinwatch.records import Market, Symbol
from coinwatch.times import now_us
from warehouse.candles.chart_reads import LastTrade, WatchedMarket

ZONES = sorted(viewer.ZONES)
_NARROW = 138
_WIDTHS: dict[Kind, int | Literal["stretch"]] = {
    Kind.PRICE: 168,
    Kind.EXCHANGES: "stretch",
    Kind.TEXT: "stretch",
}


def draw(
    known: Sequence[Market],
    symbols: Sequence[Symbol],
    now: float | None,
    *,
    save: Callable[[str], None],
    look_back: Callable[[], None],
    cancel: Callable[[], None],
) -> None:
    """Draw the form.

    Args:
        known: the markets to choose from.
        symbols: the pairs to choose from.
        now: the current price of the pair, if it is known.
        save: called with the symbol that the form showed when the viewer saved it.
        look_back: called to run a backtest.
        cancel: called when the viewer stops editing.
    """
    draft.prepare(now)
    editing = draft.current().editing
    checked = draft.check(known)
    faults = dict(checked.faults)
    st.subheader("New alert" if editing is None else f"Edit alert {editing}", anchor=False)
    if draft.needs_market():
        _symbol(known, symbols)
    else:
        st.html(ui_html.wrap(ui_html.note("This alert does not depend on a market.")))
    _show(faults.get("symbol", ""))
    exchanges = _exchanges(known)
    decimals = formats.price_decimals(now) if now else 2
    places = draft.parts()
    for place in places:
        _part(place, faults, exchanges, decimals, removable=len(places) > 1)
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(places) > 1:
            st.segmented_control(
                "Fires when",
                ["all", "any"],
                format_func=lambda join: "all are met" if join == "all" else "any is met",
                key=draft.key(draft.JOIN),
                required=True,
                label_visibility="collapsed",
            )
        if len(places) < form.MAX_CONDITIONS:
            st.button(
                "Add a condition",
                key="alert_add",
                type="tertiary",
                icon=":material/add:",
                on_click=draft.add_part,
            )
    _terms(faults, draft.exchange_count(known), decimals)
    st.text_input(
        "Note",
        key=draft.key(draft.NOTE),
        placeholder="Optional",
        help="Shown with the alert.",
    )
    _show(faults.get("note", ""))
    if checked.rule is not None:
        terms = states.terms_words(checked.rule, now_us())
        st.html(ui_html.wrap(alerts_html.summary(form.sentence(checked.rule), terms)))
    with st.container(horizontal=True):
        st.button(
            "Create alert" if editing is None else "Save alert",
            key="alert_save",
            type="primary",
            icon=":material/add_alert:" if editing is None else ":material/save:",
            on_click=save,
            args=(draft.typed(),),
        )
        st.button(
            "Backtest 30 days",
            key="alert_look_back",
            icon=":material/history:",
            on_click=look_back,
            help="Shows when it would have fired in the last 30 days.",
        )
        if editing is not None:
            st.button("Cancel", key="alert_cancel", type="tertiary", on_click=cancel)


def price_now(
    latest: Iterable[LastTrade], markets: Sequence[WatchedMarket], symbol: Symbol, exchange: str | None
) -> float | None:
    """The current price: of one exchange, or the median of all."""
    ids = {
        row.market_id
        for row in markets
        if row.market.symbol == symbol and exchange in (None, row.market.exchange)
    }
    prices = [trade.price for trade in latest if trade.market_id in ids]
    return median(prices) if prices else None


def _symbol(known: Sequence[Market], symbols: Sequence[Symbol]) -> None:
    key = draft.key(draft.SYMBOL)
    if draft.typed() == str(NO_MARKET):
        st.session_state[key] = str(symbols[0])
        draft.prepare(None)
    st.selectbox(
        "Symbol or market",
        dict.fromkeys([*map(str, symbols), *map(str, known), draft.typed()]),
        key=key,
        accept_new_options=True,
        persist_state="page",
        help="BTC-USDT watches the pair on every exchange, binance:BTC-USDT on one. "
        "You can type any spelling: btcusdt, BTC/USDT.",
    )


def _part(
    place: int, faults: dict[str, str], exchanges: Sequence[str], decimals: int, *, removable: bool
) -> None:
    with st.container(border=removable, key=f"alert_part {place}"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            type_name = st.selectbox(
                "Fires when" if place == draft.parts()[0] else "And when",
                list(CONDITIONS),
                format_func=lambda name: CONDITIONS[name].title,
                key=draft.key(place, draft.TYPE),
                persist_state="page",
                help=CONDITIONS[st.session_state[draft.key(place, draft.TYPE)]].hint or None,
            )
            if removable:
                st.button(
                    "Remove",
                    key=f"alert_remove {place}",
                    type="tertiary",
                    icon=":material/close:",
                    help="Remove this condition",
                    on_click=draft.remove_part,
                    args=(place,),
                )
        values = draft.part_values(place)
        fields = [field for field in CONDITIONS[type_name].fields if field.matters(values)]
        if fields:
            with st.container(horizontal=True, gap="small"):
                for field in fields:
                    fault = draft.fault(faults, place, field.name)
                    _field(field, draft.field_key(place, field), fault, exchanges, decimals)
        _show(draft.fault(faults, place, ""))


def _terms(faults: dict[str, str], exchanges: int, decimals: int) -> None:
    shown = draft.shown_terms(exchanges)
    repeating = [term for term in shown if term in alerts_fields.REPEATING]
    more = [term for term in shown if term in alerts_fields.MORE]
    _repeat()
    if repeating:
        with st.container(horizontal=True, gap="small"):
            for term in repeating:
                fault = draft.fault(faults, None, term.name)
                _field(term, draft.field_key(None, term), fault, (), decimals)
    _show(faults.get("terms", ""))
    began = draft.current().terms
    named = {term.name for term in more} | {QUIET}
    with st.expander("More terms", expanded=bool(named & {*began, *faults}), key=draft.key("more")):
        with st.container(horizontal=True, gap="small"):
            for term in more:
                fault = draft.fault(faults, None, term.name)
                _field(term, draft.field_key(None, term), fault, (), decimals)
        is_quiet = st.toggle(
            "Quiet hours",
            key=draft.key(QUIET),
            persist_state="page",
            help="Hours of the day in which it does not fire.",
        )
        if is_quiet:
            with st.container(horizontal=True, gap="small"):
                for name in ("from", "to"):
                    st.time_input(
                        name.title(),
                        key=draft.key(QUIET, name),
                        persist_state="page",
                        width=110,
                    )
                st.selectbox(
                    "Time zone",
                    dict.fromkeys([*ZONES, st.session_state[draft.key(QUIET, "tz")]]),
                    key=draft.key(QUIET, "tz"),
                    persist_state="page",
                    width=190,
                )
        _show(faults.get(QUIET, ""))


def _field(field: Field, key: str, fault: str, exchanges: Sequence[str], decimals: int) -> None:
    with st.container(width=_WIDTHS.get(field.kind, _NARROW), gap=None):
        match field.kind:
            case Kind.PRICE:
                places = decimals if field.start is None else 5
                st.number_input(
                    field.label,
                    step=10.0**-places,
                    format=f"%.{places}f",
                    value=None,
                    key=key,
                    help=field.hint,
                    persist_state="page",
                )
            case Kind.NUMBER:
                st.number_input(
                    field.label,
                    step=field.step,
                    format="%g",
                    value=None,
                    key=key,
                    help=field.hint,
                    persist_state="page",
                )
            case Kind.COUNT:
                st.number_input(
                    field.label, step=1, value=None, key=key, help=field.hint, persist_state="page"
                )
            case Kind.DURATION:
                st.selectbox(
                    field.label,
                    dict.fromkeys(
                        [*field.usual, *([st.session_state[key]] if st.session_state[key] else [])]
                    ),
                    key=key,
                    index=None,
                    accept_new_options=True,
                    placeholder="Never" if field.name == "expires" else "None" if field.optional else "15m",
                    help=field.hint or "You can type any other duration: 90s, 20m, 6h, 3d.",
                    persist_state="page",
                )
            case Kind.CHOICE:
                _choice(field, key)
            case Kind.EXCHANGES:
                st.session_state[key] = [name for name in st.session_state[key] or () if name in exchanges]
                st.multiselect(
                    field.label,
                    exchanges,
                    key=key,
                    max_selections=2,
                    placeholder="Choose two",
                    help=field.hint,
                    persist_state="page",
                )
            case Kind.TEXT:
                st.text_input(
                    field.label, key=key, placeholder="Optional", help=field.hint, persist_state="page"
                )
        _show(fault)


def _choice(field: Field, key: str) -> None:
    choices = field.choices
    st.selectbox(
        field.label,
        list(choices),
        format_func=lambda value: choices[value],
        key=key,
        help=field.hint,
        persist_state="page",
    )


def _repeat() -> None:
    field = alerts_fields.REPEAT
    choices = field.choices
    st.segmented_control(
        field.label,
        list(choices),
        format_func=lambda value: choices[value],
        key=draft.field_key(None, field),
        required=True,
        help=field.hint,
        persist_state="page",
    )


def _show(fault: str) -> None:
    if fault:
        st.html(ui_html.wrap(alerts_html.fault(fault)))


def _exchanges(known: Sequence[Market]) -> list[str]:
    """The exchanges on which the pair is watched."""
    try:
        symbol, _ = form.resolve(draft.typed(), known)
    except CoinwatchError:
        return []
    return sorted(market.exchange for market in known if market.symbol == symbol)
