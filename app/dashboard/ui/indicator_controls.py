"""The control to choose indicators."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.dashboard.ui import query
from app.dashboard.ui.indicators import KINDS, Indicator
from app.dashboard.ui.url import PageUrl


def choose(
    url: PageUrl,
    notes: list[str],
    label: str,
    suggested: Sequence[str],
    *,
    key: str,
    kinds: Sequence[str] = KINDS,
    placeholder: str,
    width: int,
    hint: str,
) -> tuple[Indicator, ...]:
    """Draw the control, which takes its value from ``overlays`` of the address, and note what was wrong.

    Any indicator of ``kinds`` can be typed, not only those ``suggested``.
    """
    if url.fresh(key):
        asked = query.indicators(url.get_all("overlays"), kinds)
        notes.append(asked.note)
        st.session_state[key] = [str(indicator) for indicator in asked.value]
    typed = query.indicators(
        st.multiselect(
            label,
            dict.fromkeys([*suggested, *st.session_state[key]]),
            key=key,
            accept_new_options=True,
            max_selections=query.MOST_INDICATORS,
            placeholder=placeholder,
            width=width,
            help=hint,
        ),
        kinds,
    )
    notes.append(typed.note)
    return typed.value
