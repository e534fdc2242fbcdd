"""Whether Postgres answers: logged once when it stops and once when it is back."""

from __future__ import annotations

import time

import sqlalchemy
import structlog

from coinwatch.errors import WarehouseUnavailable

log = structlog.get_logger(__name__)


class Outage:
    """Shared by the parts of this process that need Postgres, each under its own name.

    True while at least one of them cannot reach it. Only WarehouseUnavailable counts: a statement that
    Postgres refuses is a fault of ours.
    """

    def __init__(self, url: sqlalchemy.URL) -> None:
        self._where = f"{url.host or url.query.get('host', 'local socket')}/{url.database}"
        self._affected: set[str] = set()
        self._began_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._affected)

    def began(self, part: str, error: BaseException) -> None:
        """Record that ``part`` cannot reach the database."""
        if not self._affected:
            self._began_at = time.monotonic()
            log.error(
                "Postgres is away: trades are kept in the spool until it is back; "
                "start the server or check COINWATCH_DATABASE_URL",
                database=self._where,
                reason=reason_of(error),
            )
        self._affected.add(part)

    def ended(self, part: str) -> None:
        """Record that ``part`` reaches the database."""
        if part in self._affected:
            self._affected.remove(part)
            if not self._affected:
                away_s = round(time.monotonic() - self._began_at, 1)
                log.info("Postgres is back", database=self._where, away_s=away_s)


def first_error(error: BaseException) -> BaseException:
    """The first error inside nested groups; ``error`` itself when it is no group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def reason_of(error: BaseException) -> str:
    """One line that explains ``error``: its reason, its message, or the name of its class."""
    inner = first_error(error)
    if isinstance(inner, WarehouseUnavailable):
        return inner.reason
    return str(inner).strip().partition("\n")[0] or type(inner).__name__
