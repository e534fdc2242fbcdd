"""Alerts: make, list and delete rules; what has fired."""

from __future__ import annotations

import streamlit as st

from app.dashboard.data import Source


def show(source: Source) -> None:
    """Draw the page."""
    st.title("Alerts", anchor=False)
