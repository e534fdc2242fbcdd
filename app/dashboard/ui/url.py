"""The state of a page in its address, so that a link reproduces the view.

Streamlit can bind widgets to URL parameters, but a bound widget silently drops every spelling that is
not its own and leaves defaults out. Here any spelling is understood, what is wrong is said, and the
address is always complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st


class PageUrl:
    """The URL parameters of one page: read them, set up the widgets, then ``write`` what they say."""

    def __init__(self, page: str) -> None:
        self._memory = f"{page} address"
        self._current = {key: st.query_params.get_all(key) for key in st.query_params}
        written: dict[str, list[str]] = st.session_state.get(self._memory, {})
        self._changed = self._current != written
        # Reached by the navigation the address is bare: the viewer's last choice still holds.
        self._asked = self._current or written

    def get(self, key: str) -> str | None:
        """What is asked for ``key``."""
        return next(iter(self._asked.get(key, ())), None)

    def get_all(self, key: str) -> list[str]:
        """Everything that is asked for ``key``."""
        return self._asked.get(key, [])

    def fresh(self, key: str) -> bool:
        """Whether the widget ``key`` must take its value from the address.

        So on the first run, and when the address changed by hand or by the browser's back button.
        """
        return self._changed or key not in st.session_state

    def write(self, values: Mapping[str, Sequence[str]]) -> None:
        """Make the address say ``values``; a key with none is left out."""
        said = {key: list(several) for key, several in values.items() if several}
        if said != self._current:
            st.query_params.from_dict(said)
        st.session_state[self._memory] = said
