"""What a viewer's browser reports. Anyone can send anything, so it is checked here and nowhere else.

No other module reads ``st.context`` or the parameters of the address; a test enforces that.
"""

from __future__ import annotations

import re
from datetime import UTC, tzinfo
from ipaddress import IPv6Address
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

import streamlit as st
import structlog

from app.dashboard.ui import style
from ingest_daemon.log_throttle import LogThrottle

ZONES = frozenset(available_timezones())
"""Names of time zones. Others, such as ``America``, can be folders or files of the machine."""
MOST_PARAMETERS, MOST_VALUES, LONGEST = 40, 100, 200
"""Limits of an address: its parameters, the values of a parameter, and the characters of a value."""

_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,252})")
_SHOWN = 40

log = structlog.get_logger(__name__)
_unknown_zones = LogThrottle()


def zone() -> tzinfo:
    """The viewer's time zone; UTC when the browser reports none, or an unknown one."""
    name = st.context.timezone
    if name in ZONES and name != "UTC":
        return ZoneInfo(name)
    if name and name != "UTC" and (suppressed := _unknown_zones.suppressed()) is not None:
        log.warning(
            "a browser reports an unknown time zone: times are shown in UTC",
            zone=ascii(name[:_SHOWN]),
            suppressed=suppressed,
        )
    return UTC


def host() -> str | None:
    """The host of the dashboard in the viewer's address bar, as a URL has it; None when it is unclear."""
    try:
        name = urlsplit(st.context.url or "").hostname or ""
        if ":" in name:
            return f"[{IPv6Address(name)}]"
    except ValueError:
        return None
    return name if _HOST_NAME.fullmatch(name) else None


def palette() -> style.Palette:
    """The colours of the viewer's theme."""
    return style.palette(st.context.theme.type)


def parameters() -> dict[str, list[str]]:
    """The parameters of the address: bounded in number and length, and without control characters."""
    names = [name for name in st.query_params if len(name) <= LONGEST][:MOST_PARAMETERS]
    return {
        name: [_printable(value) for value in st.query_params.get_all(name)[:MOST_VALUES]] for name in names
    }


def _printable(value: str) -> str:
    return "".join(filter(str.isprintable, value[:LONGEST]))
