"""The log of the dashboard: one format, and at most a line a minute of what a client can cause at will."""

from __future__ import annotations

import logging
from collections import defaultdict

from coinwatch import logs
from coinwatch.settings import Settings
from ingest_daemon.log_throttle import LogThrottle

_LIBRARIES = ("asyncio", "streamlit", "uvicorn", "websockets")
"""They log each invalid request, frame or message, often with a traceback."""


class OncePerBurst(logging.Filter):
    """Of the warnings and errors that a library logs at one place, lets the first of a burst through."""

    def __init__(self) -> None:
        super().__init__()
        self._places: defaultdict[tuple[str, int], LogThrottle] = defaultdict(LogThrottle)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether ``record`` is written; if others were not, it states how many."""
        if record.levelno < logging.WARNING or record.name.partition(".")[0] not in _LIBRARIES:
            return True
        suppressed = self._places[record.pathname, record.lineno].suppressed()
        if suppressed:
            record.msg, record.args = f"{record.getMessage()} ({suppressed} more were suppressed)", ()
        return suppressed is not None


def configure(settings: Settings) -> None:
    """Set up logging for this process, that of Streamlit and its web server included."""
    logs.configure("dashboard", log_format=settings.log_format, level=settings.log_level)
    for handler in logging.root.handlers:
        handler.addFilter(OncePerBurst())
    for name in logging.root.manager.loggerDict:
        if name.partition(".")[0] in _LIBRARIES:
            library = logging.getLogger(name)
            library.handlers.clear()
            library.propagate = True
            library.setLevel(max(logging.WARNING, logging.root.level))
