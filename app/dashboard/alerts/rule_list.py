"""The list of alert rules, and the actions on a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

import streamlit as st
from sqlalchemy import Connection

from app.dashboard.alerts import draft, form, history, states
from app.dashboard.alerts import html as alerts_html
from app.dashboard.alerts.fields import SNOOZES
from app.dashboard.alerts.states import State
from app.dashboard.alerts.widgets import price_now
from app.dashboard.data.failures import describe_failure
from app.dashboard.data.source import DashboardReads
from app.dashboard.ui import html as ui_html
from app.dashboard.ui import page
from coinwatch.alerts import Rule
from coinwatch.errors import CoinwatchError
from coinwatch.times import SECOND_US, now_us
from warehouse.alerts import edits
from warehouse.alerts import rules as alerts_rules
from warehouse.candles.chart_reads import LastTrade, WatchedMarket

T = TypeVar("T")

PAGE = 20
"""Rules on a page of the list."""
LIST_S = 2
_MESSAGE = "alerts_message"
_DELETING = "alerts_deleting"
_RERUN = "alerts_rerun"

DUPLICATE, TEST, HISTORY, DELETE = "Duplicate", "Send a test", "History", "Delete"

NO_ALERTS = ("No alerts yet", "Create an alert with the form, or click a price on a chart.")
NO_MATCH = ("No matching alerts", "Change the search or the state.")


def set_message(text: str) -> None:
    """Show a problem to the viewer at the next run."""
    st.session_state[_MESSAGE] = text


def take_message() -> str:
    """The problem to show, once; empty without any."""
    text: str = st.session_state.pop(_MESSAGE, "")
    return text


def change(source: DashboardReads, failure: str, work: Callable[[Connection], T]) -> T | None:
    """The result of ``work`` on the rules; when it fails, the viewer sees ``failure`` and the reason."""
    try:
        result = source.change_alerts(form.CLIENT, work)
    except CoinwatchError as error:
        set_message(f"{failure}: {describe_failure(error)}.")
        return None
    if not result:
        set_message(f"{failure}: it was deleted, or has fired for the last time.")
    return result


@page.every(LIST_S)
def rules(source: DashboardReads, wanted: str, search: str) -> None:
    """The rules in a state that match a search."""
    if st.session_state.pop(_RERUN, False):
        st.rerun()
    known = source.alerts(form.CLIENT)
    markets = source.markets().value or ()
    latest = source.latest([watched.market_id for watched in markets])
    page.show_problem([known, latest])
    if known.value is None:
        st.html(ui_html.wrap(ui_html.empty("The alerts cannot be read", *page.START)))
        return
    page.notice(take_message())
    for unreadable in known.value.unreadable:
        st.warning(unreadable)
    at_us = now_us()
    matches = states.matching(known.value.rules, wanted, search, at_us)
    if not matches:
        st.html(ui_html.wrap(ui_html.empty(*(NO_MATCH if known.value.rules else NO_ALERTS))))
        return
    pages = -(-len(matches) // PAGE)
    number = 1
    if pages > 1:
        st.session_state["alerts_page"] = min(st.session_state.get("alerts_page", 1), pages)
        number = st.pagination(pages, key="alerts_page")
    for rule in matches[(number - 1) * PAGE : number * PAGE]:
        _rule(source, rule, latest.value or (), markets, at_us)


def confirm_deletion(source: DashboardReads) -> None:
    """Show the dialog that confirms a deletion, as long as one is pending."""
    rule: Rule | None = st.session_state.get(_DELETING)
    if rule is not None:
        _dialog(source, rule)


def _forget_deletion() -> None:
    st.session_state[_DELETING] = None


@st.dialog("Delete this alert?", icon=":material/delete:", on_dismiss=_forget_deletion)
def _dialog(source: DashboardReads, rule: Rule) -> None:
    st.html(ui_html.wrap(alerts_html.summary(form.sentence(rule), ())))
    st.html(ui_html.wrap(ui_html.note("Its past alerts stay in the history.")))
    with st.container(horizontal=True):
        if st.button("Delete alert", type="primary", icon=":material/delete:"):
            delete = partial(alerts_rules.delete_rule, rule_id=rule.id, client=form.CLIENT)
            change(source, "Not deleted", lambda conn: delete(conn))
            _forget_deletion()
            st.rerun()
        if st.button("Keep it"):
            _forget_deletion()
            st.rerun()


def _rule(
    source: DashboardReads,
    rule: Rule,
    latest: Iterable[LastTrade],
    markets: Sequence[WatchedMarket],
    at_us: int,
) -> None:
    state = states.state(rule, at_us)
    price = price_now(latest, markets, rule.symbol, rule.exchange)
    line = alerts_html.rule(
        form.sentence(rule),
        state,
        states.explanation(rule, price, at_us),
        states.terms_words(rule, at_us),
        rule.note or "",
    )
    with st.container(
        border=True,
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
        key=f"card_rule {rule.id}",
    ):
        st.html(ui_html.wrap(line), width="stretch")
        with st.container(horizontal=True, width="content", gap="small"):
            st.button(
                "Edit",
                key=f"edit {rule.id}",
                type="tertiary",
                icon=":material/edit:",
                on_click=_edit,
                args=(rule,),
            )
            if state in (State.PAUSED, State.SNOOZED):
                st.button(
                    "Resume",
                    key=f"resume {rule.id}",
                    type="tertiary",
                    icon=":material/play_arrow:",
                    on_click=_resume,
                    args=(source, rule),
                )
            elif state not in states.OVER:
                st.button(
                    "Pause",
                    key=f"pause {rule.id}",
                    type="tertiary",
                    icon=":material/pause:",
                    on_click=_pause,
                    args=(source, rule),
                )
            snoozes = [] if state in states.OVER else list(SNOOZES)
            st.menu_button(
                "More",
                [DUPLICATE, *snoozes, TEST, HISTORY, DELETE],
                key=f"more {rule.id}",
                type="tertiary",
                on_click=_more,
                args=(source, rule, price),
            )


def _edit(rule: Rule) -> None:
    _draft(rule, editing=rule.id)


def _draft(rule: Rule, *, editing: int | None = None) -> None:
    try:
        draft.begin(form.draft_of(rule, editing=editing))
    except CoinwatchError as error:
        set_message(f"Alert {rule.id} cannot be loaded into the form: {error}.")
    st.session_state[_RERUN] = True


def _pause(source: DashboardReads, rule: Rule) -> None:
    change(
        source,
        f"Alert {rule.id} was not paused",
        lambda conn: edits.pause_rule(conn, rule.id, client=form.CLIENT),
    )


def _resume(source: DashboardReads, rule: Rule) -> None:
    change(
        source,
        f"Alert {rule.id} was not resumed",
        lambda conn: edits.resume_rule(conn, rule.id, client=form.CLIENT),
    )


def _more(source: DashboardReads, rule: Rule, price: float | None) -> None:
    chosen = st.session_state[f"more {rule.id}"]
    if chosen == DUPLICATE:
        _draft(rule)
    elif chosen in SNOOZES:
        until_us = now_us() + SNOOZES[chosen] * SECOND_US
        change(
            source,
            f"Alert {rule.id} was not snoozed",
            lambda conn: edits.snooze_rule(conn, rule.id, until_us, client=form.CLIENT),
        )
    elif chosen == TEST:
        _test(source, rule, price)
    elif chosen == HISTORY:
        history.show_rule(rule.id)
        st.session_state[_RERUN] = True
    elif chosen == DELETE:
        st.session_state[_DELETING] = rule
        st.session_state[_RERUN] = True


def _test(source: DashboardReads, rule: Rule, price: float | None) -> None:
    event_id = change(
        source,
        "No test was sent",
        lambda conn: edits.send_test(conn, rule, exchange=rule.exchange, price=price, ts_us=now_us()),
    )
    if event_id:
        st.toast(f"Test sent as event {event_id}. History shows its deliveries.", icon=":material/send:")
