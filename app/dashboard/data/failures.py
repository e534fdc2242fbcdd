"""The message of a failed read on the pages: one line that helps a viewer."""

from __future__ import annotations

from coinwatch.errors import (
    CoinwatchError,
    WarehouseFull,
    WarehouseReadOnly,
    WarehouseRejected,
    WarehouseSlow,
    WarehouseUnavailable,
)

STATEMENT_TIMEOUT_S = 5.0
NO_ANSWER = "the database does not answer"
"""The beginning of a problem that concerns all reads."""


def describe_failure(error: Exception) -> str:
    """The message of a failed read: one line, no secrets, no SQL."""
    if isinstance(error, WarehouseSlow):
        return f"the database is slow to answer: a read took over {STATEMENT_TIMEOUT_S:g} s"
    if isinstance(error, WarehouseFull | WarehouseReadOnly):
        return f"nothing can be stored: {error.state}"
    if isinstance(error, WarehouseUnavailable):
        return f"{NO_ANSWER}: {error.reason}"
    if isinstance(error, WarehouseRejected):
        return f"the database refused a read ({error.kind}); is it upgraded? (coinwatch db upgrade)"
    if isinstance(error, CoinwatchError):
        return str(error)
    return f"a read failed ({type(error).__name__})"
