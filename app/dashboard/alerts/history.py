"""The alerts that have fired with their deliveries, and the outlets."""

from __future__ import annotations

import streamlit as st

from app.dashboard.alerts import form, reads
from app.dashboard.alerts import html as alerts_html
from app.dashboard.data.source import DashboardReads
from app.dashboard.ui import html as ui_html
from app.dashboard.ui import page, viewer
from warehouse.alerts.reads import EventDelivery

LIST_S = 2
_RULE = "alerts_of_rule"


@page.every(LIST_S)
def show_events(source: DashboardReads) -> None:
    """The alerts of all rules, or of the chosen rule, with their deliveries."""
    rule_id = st.session_state.get(_RULE)
    events = reads.events(source, form.CLIENT, rule_id)
    outlets = reads.outlets(source, form.CLIENT)
    page.show_problem([events, outlets])
    if rule_id is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Alert {rule_id}")
            st.button("Show all", type="tertiary", on_click=_show_all)
    if events.value is None:
        st.html(ui_html.wrap(ui_html.empty("The history cannot be read", *page.START)))
        return
    fired, deliveries = events.value
    if not fired:
        hint = "Fired alerts are listed here for 90 days."
        st.html(ui_html.wrap(ui_html.empty("No alerts have fired yet", hint)))
        return
    by_event: dict[int, list[EventDelivery]] = {}
    for delivery in deliveries:
        by_event.setdefault(delivery.event_id, []).append(delivery)
    table = alerts_html.history(fired, by_event, viewer.zone(), outlets=bool(outlets.value))
    st.html(ui_html.wrap(table))


@page.every(LIST_S)
def show_outlets(source: DashboardReads) -> None:
    """The outlets of the dashboard's alerts."""
    known = reads.outlets(source, form.CLIENT)
    page.show_problem([known])
    if known.value is None:
        st.html(ui_html.wrap(ui_html.empty("The outlets cannot be read", *page.START)))
    elif known.value:
        hint = (
            "Deliveries of the last alerts. The command coinwatch outlets adds and removes outlets and "
            "resends alerts."
        )
        table = alerts_html.outlets(known.value, viewer.zone())
        st.html(ui_html.wrap(table, ui_html.note(hint)))
    else:
        hints = (
            "Alerts can also be sent to a webhook, or through apprise to Telegram, Discord, Slack, e-mail, "
            "ntfy and many more.",
            f"Add an outlet with `coinwatch outlets add {form.CLIENT} URL`",
        )
        st.html(ui_html.wrap(ui_html.empty("Alerts are shown on this page only", *hints)))


def show_rule(rule_id: int) -> None:
    """Switch to the history of a rule."""
    st.session_state[_RULE] = rule_id
    st.session_state["alerts_view"] = "history"


def _show_all() -> None:
    st.session_state[_RULE] = None
