"""The rules there are, what has fired, and where that was delivered; what can be done to a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

import streamlit as st
from sqlalchemy import Connection

from app.dashboard.alerts import draft, form, reads, states
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
from warehouse.alerts.reads import EventDelivery
from warehouse.candles.chart_reads import LastTrade, WatchedMarket

T = TypeVar("T")

PAGE = 20
"""So many rules are listed at once."""
LIST_S = 2
_SAID = "alerts_said"
_DELETING = "alerts_deleting"
_RERUN = "alerts_rerun"
_OF_RULE = "alerts_of_rule"

DUPLICATE, TEST, HISTORY, DELETE = "Duplicate", "Send a test", "History", "Delete"

NOTHING = (
    "No alert yet",
    "Make one with the form, or click on a chart at the price you want to hear of.",
)


def say(words: str) -> None:
    """Tell the viewer at the next drawing what went wrong."""
    st.session_state[_SAID] = words


def said() -> str:
    """What is to be told, once."""
    words: str = st.session_state.pop(_SAID, "")
    return words


def change(source: DashboardReads, what: str, work: Callable[[Connection], T]) -> T | None:
    """Do ``work`` to the rules; says ``what`` was not done, and why, when it fails."""
    try:
        done = source.change_alerts(form.CLIENT, work)
    except CoinwatchError as error:
        say(f"{what}: {describe_failure(error)}.")
        return None
    if not done:
        say(f"{what}: it is gone, or has fired for good meanwhile.")
    return done


@page.every(LIST_S)
def rules(source: DashboardReads, wanted: str, search: str) -> None:
    """The rules of a state that have some words."""
    if st.session_state.pop(_RERUN, False):
        st.rerun()
    known = source.alerts(form.CLIENT)
    markets = source.markets().value or ()
    latest = source.latest([one.market_id for one in markets])
    page.show_problem([known, latest])
    if known.value is None:
        st.html(ui_html.wrap(ui_html.empty("The alerts cannot be read", *page.START)))
        return
    page.notice(said())
    for unreadable in known.value.unreadable:
        st.warning(unreadable)
    at_us = now_us()
    found = states.chosen(known.value.rules, wanted, search, at_us)
    if not found:
        words = (
            NOTHING if not known.value.rules else ("No alert is like that", "Search for less, or show all.")
        )
        st.html(ui_html.wrap(ui_html.empty(*words)))
        return
    pages = -(-len(found) // PAGE)
    number = 1
    if pages > 1:
        st.session_state["alerts_page"] = min(st.session_state.get("alerts_page", 1), pages)
        number = st.pagination(pages, key="alerts_page")
    for rule in found[(number - 1) * PAGE : number * PAGE]:
        _rule(source, rule, latest.value or (), markets, at_us)


@page.every(LIST_S)
def history(source: DashboardReads) -> None:
    """What has fired, of all rules or of one, and where that was delivered."""
    rule_id = st.session_state.get(_OF_RULE)
    events = reads.events(source, form.CLIENT, rule_id)
    outlets = reads.outlets(source, form.CLIENT)
    page.show_problem([events, outlets])
    if rule_id is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Of alert {rule_id}")
            st.button("Show all", type="tertiary", on_click=_show_history_of, args=(None,))
    if events.value is None:
        st.html(ui_html.wrap(ui_html.empty("The history cannot be read", *page.START)))
        return
    fired, told = events.value
    if not fired:
        st.html(
            ui_html.wrap(ui_html.empty("Nothing has fired yet", "What fires is listed here for 90 days."))
        )
        return
    by_event: dict[int, list[EventDelivery]] = {}
    for one in told:
        by_event.setdefault(one.event_id, []).append(one)
    table = alerts_html.history(fired, by_event, page.zone(), outlets=bool(outlets.value))
    st.html(ui_html.wrap(table))


@page.every(LIST_S)
def outlets(source: DashboardReads) -> None:
    """Where alerts go besides this page."""
    found = reads.outlets(source, form.CLIENT)
    page.show_problem([found])
    if found.value is None:
        st.html(ui_html.wrap(ui_html.empty("The outlets cannot be read", *page.START)))
    elif found.value:
        st.html(ui_html.wrap(alerts_html.outlets(found.value, page.zone())))
        words = "Deliveries of the last alerts. The command coinwatch outlets adds, removes and resends."
        st.html(ui_html.wrap(alerts_html.notes(words)))
    else:
        add = f"`coinwatch outlets add {form.CLIENT} URL`"
        st.html(
            ui_html.wrap(
                ui_html.empty(
                    "Alerts are told on this page only",
                    "They can go to a webhook, and through apprise to Telegram, Discord, Slack, e-mail, ntfy "
                    "and many more.",
                    f"Add such an outlet with {add}",
                )
            )
        )


def confirm_deletion(source: DashboardReads) -> None:
    """Ask, when somebody wants to delete a rule, until that is answered."""
    rule: Rule | None = st.session_state.get(_DELETING)
    if rule is not None:
        _dialog(source, rule)


def _forget_deletion() -> None:
    st.session_state[_DELETING] = None


@st.dialog("Delete this alert?", icon=":material/delete:", on_dismiss=_forget_deletion)
def _dialog(source: DashboardReads, rule: Rule) -> None:
    st.html(ui_html.wrap(alerts_html.summary(form.sentence(rule), ())))
    st.html(ui_html.wrap(alerts_html.notes("What it has told stays in the history.")))
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
        states.explained(rule, price, at_us),
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
        say(f"Alert {rule.id} cannot be filled in: {error}.")
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
        _show_history_of(rule.id)
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
        st.toast(
            f"Test sent as event {event_id}: History says where it was delivered.", icon=":material/send:"
        )


def _show_history_of(rule_id: int | None) -> None:
    st.session_state[_OF_RULE] = rule_id
    if rule_id is not None:
        st.session_state["alerts_view"] = "history"
    st.session_state[_RERUN] = True
