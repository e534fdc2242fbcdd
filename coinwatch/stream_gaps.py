"""Causes and states of stream gaps: interruptions of a market's stream, rows of ``stream_gaps``."""

from __future__ import annotations

from enum import StrEnum


class GapCause(StrEnum):
    """Why trades of a market were not received."""

    STARTED = "started"
    """The daemon was not running, or another daemon streamed the market."""
    STOPPED = "stopped"
    """The daemon was stopped on purpose."""
    DISCONNECTED = "disconnected"
    """The socket was lost."""
    SILENT = "silent"
    """The socket was open but delivered no data."""
    MISSING_TRADES = "missing trades"
    """Trade ids were skipped while the stream was up."""
    SLEPT = "the machine slept"
    """The clock ran on while the process did not."""
    NOT_WANTED = "not wanted"
    """No configuration and no alert rule asked for the market. Such gaps are never recovered."""


class GapState(StrEnum):
    """What became of a stream gap."""

    OPEN = "open"
    """Recovery has not finished."""
    FILLED = "filled"
    """All trades are stored."""
    UNFILLABLE = "unfillable"
    """The exchange does not return these trades."""
