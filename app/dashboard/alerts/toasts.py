"""A toast, and a sound where the viewer wants one, in every open page when an alert fires.

Every page draws ``watch`` once: a fragment of its own that asks, for all viewers together, for the last
few events every few seconds, and shows a session those that are new to it.
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
"""So many toasts at once; more are counted in the last one."""
_SEEN = "alerts_seen"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+.!|~<>$:&-])")


@page.every(EVERY_S)
def watch(source: DashboardReads) -> None:
    """Tell the viewer of what has fired since the session began, each event once."""
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
    """Those after the last one ``seen``, the newest first; a session that has seen nothing begins now."""
    return [] if seen is None else [event for event in newest if event.event_id > seen]


def plain(text: str) -> str:
    """``text`` with nothing in it that Markdown would take for markup."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
