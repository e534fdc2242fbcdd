"""Whether Postgres answers, said once when it stops and once when it is back."""

from __future__ import annotations

import time

import sqlalchemy
import structlog

log = structlog.get_logger(__name__)


class Outage:
    """Shared by all who use the database in this process, each under its own name."""

    def __init__(self, url: sqlalchemy.URL) -> None:
        self._where = f"{url.host or url.query.get('host', 'local socket')}/{url.database}"
        self._sufferers: set[str] = set()
        self._began_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._sufferers)

    def began(self, who: str, error: Exception) -> None:
        """``who`` cannot reach the database."""
        if not self._sufferers:
            self._began_at = time.monotonic()
            log.error(
                "Postgres is away: trades are kept in the spool until it is back; "
                "start the server or check COINWATCH_DATABASE_URL",
                database=self._where,
                reason=str(error).strip().partition("\n")[0],
            )
        self._sufferers.add(who)

    def ended(self, who: str) -> None:
        """``who`` reaches the database."""
        if who in self._sufferers:
            self._sufferers.remove(who)
            if not self._sufferers:
                away_s = round(time.monotonic() - self._began_at, 1)
                log.info("Postgres is back", database=self._where, away_s=away_s)
