"""A toast in every open page when an alert fires, and a sound for viewers who turned it on.

Every page draws ``watch`` once. This fragment reads the last few alerts every few seconds, once for all
viewers, and shows each session those that are new to it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import streamlit as st

from app.dashboard.alerts import form, reads, sound
from app.dashboard.data.source import DashboardReads
from app.dashboard.ui import page
from coinwatch.alerts import Alert

EVERY_S = 3
MOST = 3
"""Toasts shown at once; further alerts are counted in the last toast."""
_SEEN = "alerts_seen"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+.!|~<>$:&-])")


@page.every(EVERY_S)
def watch(source: DashboardReads) -> None:
    """Show each alert that has fired since the session started, once."""
    newest = reads.newest_events(source, form.CLIENT).value
    if newest is None:
        return
    seen = st.session_state.get(_SEEN)
    last = max([seen or 0, *(event.event_id for event in newest)])
    st.session_state[_SEEN] = last
    sound.listen(last)
    fresh = fresh_events(newest, seen)
    for event in fresh[:MOST]:
        st.toast(plain(event.message), icon=":material/notifications_active:", duration="long")
    if len(fresh) > MOST:
        st.toast(f"and {len(fresh) - MOST} more alerts", icon=":material/notifications_active:")


def fresh_events(newest: Sequence[Alert], seen: int | None) -> list[Alert]:
    """The events after ``seen``, newest first; none for a new session, which has not seen any."""
    return [] if seen is None else [event for event in newest if event.event_id > seen]


def plain(text: str) -> str:
    """``text`` with all Markdown markup escaped."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
