"""Log records of Dagster about its database: short, and one for each state."""

from __future__ import annotations

import logging
import subprocess
import sys
from textwrap import dedent

import pytest

from pipelines.instance.log_records import DatabaseRecords

TRACEBACK = """SensorDaemon caught an error
Traceback (most recent call last):
  File "sqlalchemy/engine/base.py", line 1977, in _exec_single_context
psycopg2.errors.{kind}: {reason}
HINT:  Check free disk space.

The above exception was the direct cause of the following exception:
sqlalchemy.exc.OperationalError: (psycopg2.errors.{kind}) {reason}
"""


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records(clock: Clock) -> DatabaseRecords:
    return DatabaseRecords(logging.LogRecord, clock)


def made(
    records: DatabaseRecords, message: str, name: str = "dagster.daemon.SensorDaemon", level: int = 40
) -> logging.LogRecord:
    return records(name, level, "daemon.py", 1, message, (), None)


@pytest.mark.parametrize(
    ("kind", "reason", "state"),
    [
        ("DiskFull", 'could not extend file "base/1"', "the disk of Postgres is full: Dagster's"),
        ("OperationalError", "could not write init file: No space left on device", "the disk of Postgres"),
        ("OperationalError", "connection refused", "Postgres is away: Dagster's"),
        ("ReadOnlySqlTransaction", "cannot execute INSERT", "Postgres is read-only: Dagster's"),
    ],
)
def test_a_traceback_becomes_a_line(records: DatabaseRecords, kind: str, reason: str, state: str) -> None:
    record = made(records, TRACEBACK.format(kind=kind, reason=reason))
    message = record.getMessage()
    assert message.startswith(state)
    assert message.endswith(f"({reason})")
    assert "\n" not in message
    assert record.levelno == logging.ERROR


def test_each_state_is_logged_once_until_it_ends(records: DatabaseRecords, clock: Clock) -> None:
    full = TRACEBACK.format(kind="DiskFull", reason="no space")
    away = TRACEBACK.format(kind="OperationalError", reason="refused")
    shown = []
    for second in range(120):
        clock.now_s = second
        shown += [made(records, text).levelno > 0 for text in (full, away, full)]
    assert sum(shown) == 2
    clock.now_s = 240
    assert made(records, full).levelno == logging.ERROR


def test_other_records_stay_as_they_are(records: DatabaseRecords) -> None:
    assert made(records, "sensor failed:\nValueError: no price").getMessage().count("\n") == 1
    of_a_library = made(records, "OperationalError: x\ny", name="sqlalchemy.pool")
    assert of_a_library.getMessage() == "OperationalError: x\ny"
    assert made(records, "OperationalError: x", level=logging.INFO).getMessage() == "OperationalError: x"
    assert records("dagster", 40, "x.py", 1, "%d", ("not a number",), None).msg == "%d"


def test_dropped_records_reach_no_handler() -> None:
    script = """
        import logging
        from psycopg2 import OperationalError
        from pipelines.instance.log_records import shorten_database_errors
        logging.basicConfig(level=logging.NOTSET)
        shorten_database_errors()
        shorten_database_errors()
        for _ in range(3):
            try:
                try:
                    raise OperationalError("connection refused")
                except OperationalError as error:
                    raise RuntimeError("too many retries") from error
            except RuntimeError:
                logging.getLogger("dagster.daemon").exception("caught")
        logging.getLogger("dagster.daemon").error("other")
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(script)], capture_output=True, text=True, check=True, timeout=60
    )
    lines = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["ERROR", "ERROR"]
    assert "Postgres is away" in lines[0]
