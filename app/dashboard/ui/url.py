"""The state of a page in its address, so that a link reproduces the view.

Streamlit can bind widgets to URL parameters, but a bound widget silently drops every other spelling of
a value and leaves defaults out. Here any spelling is accepted, wrong values are reported, and the address is
always complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from app.dashboard.ui import viewer


class PageUrl:
    """The URL parameters of one page: read them, set up the widgets, then ``write`` their values."""

    def __init__(self, page: str) -> None:
        self._memory = f"{page} address"
        self._current = viewer.parameters()
        written: dict[str, list[str]] = st.session_state.get(self._memory, {})
        self._changed = self._current != written
        # The navigation opens a page without parameters: the viewer's last choice stays.
        self._asked = self._current or written

    def get(self, key: str) -> str | None:
        """The first value of ``key``."""
        return next(iter(self._asked.get(key, ())), None)

    def get_all(self, key: str) -> list[str]:
        """All values of ``key``."""
        return self._asked.get(key, [])

    def fresh(self, key: str) -> bool:
        """Whether the widget ``key`` must take its value from the address.

        So on the first run, and when the address changed by hand or by the browser's back button.
        """
        return self._changed or key not in st.session_state

    def write(self, values: Mapping[str, Sequence[str]]) -> None:
        """Set the address to ``values``; keys without a value are left out."""
        complete = {key: list(several) for key, several in values.items() if several}
        if complete != self._current:
            st.query_params.from_dict(complete)
        st.session_state[self._memory] = complete
