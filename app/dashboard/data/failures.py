"""What a failed read says on the pages: one line that a viewer can do something with."""

from __future__ import annotations

import re

from psycopg.errors import QueryCanceled
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from coinwatch.errors import CoinwatchError

_LIBPQ = re.compile(r"^connection failed: |connection to server .*? failed: (FATAL: *)?|^FATAL: *")
"""What libpq says before the reason: where the server is, which the viewer need not know."""

STATEMENT_TIMEOUT_S = 5.0
NO_ANSWER = "the database does not answer"
"""How a problem begins that is of all readings alike."""


def describe_failure(error: Exception) -> str:
    """What a failed read says on the page: one line, no secrets, no SQL."""
    if isinstance(error, CoinwatchError):
        return str(error)
    if isinstance(error, OperationalError) and isinstance(error.orig, QueryCanceled):
        return f"the database is slow to answer: a read took over {STATEMENT_TIMEOUT_S:g} s"
    if isinstance(error, OperationalError):
        return f"{NO_ANSWER}: {reason(error)}"
    if isinstance(error, SQLAlchemyError):
        return f"the database refused a read ({type(error).__name__}); is it upgraded? (coinwatch db upgrade)"
    return f"a read failed ({type(error).__name__})"


def reason(error: OperationalError) -> str:
    """What the server or libpq said, in one line, without where the server is."""
    first = next(iter(str(error.orig).strip().splitlines()), "connection lost")
    return _LIBPQ.sub("", first)[:200]
