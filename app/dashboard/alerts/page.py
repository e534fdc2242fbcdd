"""Alerts: make rules, see what they would have done, list and change them; what has fired and went where."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.dashboard.alerts import draft as alerts_draft
from app.dashboard.alerts import form as alerts_form
from app.dashboard.alerts import preview, reads, rule_list, sound, widgets
from app.dashboard.alerts.fields import CONDITIONS
from app.dashboard.alerts.states import ALL, State
from app.dashboard.data.failures import describe_failure
from app.dashboard.data.source import DashboardReads
from app.dashboard.ui import page, query
from app.dashboard.ui.url import PageUrl
from coinwatch.alerts import NewRule
from coinwatch.errors import CoinwatchError
from coinwatch.records import Market
from coinwatch.times import now_us
from warehouse.alerts import edits
from warehouse.candles.chart_reads import WatchedMarket

VIEWS = {"alerts": "Alerts", "history": "History", "outlets": "Outlets"}
_PREVIEW = "alerts_preview"


def show(source: DashboardReads) -> None:
    """Draw the page."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Alerts", anchor=False, width="content")
        sound.switch()
    markets = page.markets(source)
    url = PageUrl("alerts")
    notes: list[str] = []
    _begin(source, markets, url, notes)
    rule_list.confirm_deletion(source)
    form, lists = st.columns([5, 8], gap="large")
    with form, st.container(border=True, key="card_form"):
        page.notice(" ".join(note for note in notes if note))
        _form(source, markets)
    with lists:
        asked: tuple[NewRule, int] | None = st.session_state.get(_PREVIEW)
        if asked is not None:
            preview.show(source, *asked, markets, _close_preview)
        view, wanted, search = _lists(source, url)
    part = alerts_draft.part_values(alerts_draft.parts()[0])
    price = part.get("price")
    url.write(
        {
            "symbol": [alerts_draft.typed()],
            "condition": [part["type"]],
            "price": [f"{price:.12g}"] if isinstance(price, int | float) else [],
            "view": [view],
            "state": [wanted] if wanted != ALL else [],
            "search": [search] if search else [],
        }
    )


def _begin(source: DashboardReads, markets: Sequence[WatchedMarket], url: PageUrl, notes: list[str]) -> None:
    """Fill in what the address asks for, when it must be."""
    first = str(page.symbols_of(markets)[0])
    if alerts_draft.is_begun() and not url.fresh(alerts_draft.key(alerts_draft.SYMBOL)):
        return
    typed = (url.get("symbol") or first)[:60]
    condition = query.option("condition", url.get("condition"), list(CONDITIONS), "above")
    price, word = alerts_form.price_from(url.get("price"))
    notes += [condition.note, word]
    named = url.get("condition") is not None
    kind = condition.value if named or price is None else "above"
    now = _price(source, markets, typed)
    draft = alerts_form.draft_at(typed, kind, price, None if named else now)
    alerts_draft.begin(draft)


def _form(source: DashboardReads, markets: Sequence[WatchedMarket]) -> None:
    known = [watched.market for watched in markets]

    def save(drawn_for: str) -> None:
        _save(source, known, drawn_for)

    def look_back() -> None:
        rule = alerts_draft.tried(known)
        st.session_state[_PREVIEW] = rule and (rule, now_us())

    widgets.draw(
        known,
        page.symbols_of(markets),
        _price(source, markets, alerts_draft.typed()),
        save=save,
        look_back=look_back,
        cancel=_start_anew,
    )
    page.notice(rule_list.said())


def _save(source: DashboardReads, known: Sequence[Market], drawn_for: str) -> None:
    # From the state, not from the last run: a click may arrive together with what was typed before it.
    if alerts_draft.typed() != drawn_for:
        rule_list.say("Not saved: the symbol has changed, so look at the price first.")
        return
    rule = alerts_draft.tried(known)
    if rule is None:
        rule_list.say("Not saved: something above is missing or wrong.")
        return
    editing = alerts_draft.current().editing
    try:
        if editing is None:
            made = reads.create_rule(source, rule)
        else:
            replaced = source.change_alerts(
                alerts_form.CLIENT, lambda conn: edits.replace_rule(conn, editing, rule)
            )
            if replaced is None:
                rule_list.say(f"Not saved: alert {editing} is gone. Cancel, and make it anew.")
                return
            made = replaced
    except CoinwatchError as error:
        rule_list.say(f"Not saved: {describe_failure(error)}.")
        return
    _start_anew()
    done = "created" if editing is None else f"saved in place of alert {editing}"
    st.toast(f"Alert {made.id} {done}.", icon=":material/check:")


def _start_anew() -> None:
    """A form without what was typed, for the same symbol and condition."""
    kind = alerts_draft.part_values(alerts_draft.parts()[0])["type"]
    alerts_draft.begin(alerts_form.draft_at(alerts_draft.typed(), kind, None, None))


def _close_preview() -> None:
    st.session_state[_PREVIEW] = None


def _lists(source: DashboardReads, url: PageUrl) -> tuple[str, str, str]:
    notes: list[str] = []
    states = [ALL, *State]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        page.preset(url, "alerts_view", query.option("view", url.get("view"), list(VIEWS), "alerts"), notes)
        view = st.segmented_control(
            "View", list(VIEWS), format_func=lambda one: VIEWS[one], key="alerts_view", required=True
        )
        wanted, search = ALL, ""
        if view == "alerts":
            page.preset(url, "alerts_state", query.option("state", url.get("state"), states, ALL), notes)
            wanted = st.selectbox("State", states, format_func=str.capitalize, key="alerts_state", width=180)
            page.preset(url, "alerts_search", query.Choice((url.get("search") or "")[:60]), notes)
            search = st.text_input(
                "Search",
                key="alerts_search",
                placeholder="Symbol, condition, note …",
                icon=":material/search:",
                width=240,
            )
    page.notice(" ".join(note for note in notes if note))
    if view == "history":
        rule_list.history(source)
    elif view == "outlets":
        rule_list.outlets(source)
    else:
        rule_list.rules(source, wanted or ALL, search)
    return view or "alerts", wanted or ALL, search


def _price(source: DashboardReads, markets: Sequence[WatchedMarket], typed: str) -> float | None:
    known = [watched.market for watched in markets]
    try:
        symbol, exchange = alerts_form.resolve(typed, known)
    except CoinwatchError:
        return None
    latest = source.latest([one.market_id for one in markets]).value or ()
    return widgets.price_now(latest, markets, symbol, exchange)
