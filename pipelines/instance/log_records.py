"""Log records of Dagster about its database: one line for each state of Postgres.

Dagster tries its database again several times a second, on many threads, and logs a traceback of about sixty
lines each time. Its own loggers cannot be given a filter, because a filter does not apply to child loggers.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import traceback
from collections.abc import Callable
from errno import ENOSPC
from typing import Any

from coinwatch.errors import WarehouseFull, WarehouseReadOnly, WarehouseUnavailable

QUIET_S = 60.0
"""A state that was not met for this long is logged again."""
REASON_SHOWN = 300
_DROPPED = -1
"""A level below that of every handler."""
_FAILURE = re.compile(
    r"\b(DiskFull|ReadOnlySqlTransaction|OperationalError|Warehouse(?:Full|ReadOnly|Unavailable|Slow))"
    r"\)?:? (.+)"
)

RecordFactory = Callable[..., logging.LogRecord]


class DatabaseRecords:
    """Makes the log records of this process: those about a failing database are shortened or dropped."""

    def __init__(self, make: RecordFactory, clock: Callable[[], float] = time.monotonic) -> None:
        self._make = make
        self._clock = clock
        self._lock = threading.Lock()
        self._met_at: dict[str, float] = {}
        """When each state was met last."""

    def __call__(
        self, name: str | None, level: int | None, *arguments: Any, **options: Any
    ) -> logging.LogRecord:
        """The record that ``logging`` requests; for ``logging.makeLogRecord`` without a name and a level."""
        record = self._make(name, level, *arguments, **options)
        if name is None or level is None:
            return record
        if level < logging.WARNING or not (name == "root" or name.startswith("dagster")):
            return record
        text = _text(record)
        failure = _FAILURE.search(text)
        if failure is None:
            return record
        error = _state(failure[1], text)
        record.args, record.exc_info, record.exc_text = (), None, None
        record.msg = (
            f"{error.state}: Dagster's schedules, sensors and runs wait and are tried again; "
            f"{error.remedy} ({failure[2][:REASON_SHOWN]})"
        )
        if not self._is_new(error.state):
            record.levelno = _DROPPED
        return record

    def _is_new(self, state: str) -> bool:
        now = self._clock()
        with self._lock:
            is_new = now - self._met_at.get(state, float("-inf")) > QUIET_S
            self._met_at[state] = now
        return is_new


def shorten_database_errors() -> None:
    """Make the records of this process with DatabaseRecords, from now on. Idempotent."""
    make = logging.getLogRecordFactory()
    if not isinstance(make, DatabaseRecords):
        logging.setLogRecordFactory(DatabaseRecords(make))


def _text(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit: logging reports it
        return ""
    if not record.exc_info:
        return message
    return "\n".join([message, *traceback.format_exception(*record.exc_info)])


def _state(kind: str, text: str) -> type[WarehouseUnavailable]:
    if kind in ("DiskFull", "WarehouseFull") or os.strerror(ENOSPC) in text:
        return WarehouseFull
    if kind in ("ReadOnlySqlTransaction", "WarehouseReadOnly"):
        return WarehouseReadOnly
    return WarehouseUnavailable
