"""What a failed read says on the pages: one line that a viewer can do something with."""

from __future__ import annotations

from coinwatch.errors import CoinwatchError, WarehouseRejected, WarehouseSlow, WarehouseUnavailable

STATEMENT_TIMEOUT_S = 5.0
NO_ANSWER = "the database does not answer"
"""How a problem begins that is of all readings alike."""


def describe_failure(error: Exception) -> str:
    """What a failed read says on the page: one line, no secrets, no SQL."""
    if isinstance(error, WarehouseSlow):
        return f"the database is slow to answer: a read took over {STATEMENT_TIMEOUT_S:g} s"
    if isinstance(error, WarehouseUnavailable):
        return f"{NO_ANSWER}: {error.reason}"
    if isinstance(error, WarehouseRejected):
        return f"the database refused a read ({error.kind}); is it upgraded? (coinwatch db upgrade)"
    if isinstance(error, CoinwatchError):
        return str(error)
    return f"a read failed ({type(error).__name__})"
