"""Whether Postgres stores what this process sends: logged once when it stops and once when it does again."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from coinwatch.errors import WarehouseError, WarehouseFull, WarehouseReadOnly, WarehouseUnavailable
from coinwatch.health.episodes import SETTLED_S, Episode
from coinwatch.health.problems import Code, Problem, code_of

_WORST_FIRST = (
    Code.DATABASE_FULL,
    Code.DATABASE_READ_ONLY,
    Code.DATABASE_UNAVAILABLE,
    Code.DATABASE_REFUSES,
)

_OBSERVED = "command"

log = structlog.get_logger(__name__)


class Outage:
    """Shared by the parts of a process that need Postgres, each under its own name.

    True while at least one of them fails.
    """

    def __init__(
        self,
        database: str,
        consequence: str,
        *,
        full_disk: Callable[[], str | None] = lambda: None,
        settled_s: float = SETTLED_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing fails yet.

        Args:
            database: Where Postgres is, for logs: without a password.
            consequence: What this process does meanwhile, for logs.
            full_disk: Returns what disk of a server on this machine is full, None when none is: a server
                that ended because of it cannot report it.
            settled_s: How long everything has to work before the end is logged.
            clock: Any clock that does not jump.
        """
        self._database = database
        self._consequence = consequence
        self._full_disk = full_disk
        self._failing: dict[str, WarehouseError] = {}
        self._episode = Episode(settled_s, clock)

    def __bool__(self) -> bool:
        return bool(self._failing)

    @property
    def problem(self) -> Problem | None:
        """What is wrong, the worst first; None when nothing fails."""
        if not self._failing:
            return None
        error = min(self._failing.values(), key=lambda error: _WORST_FIRST.index(code_of(error)))
        return Problem(code_of(error), f"{error.state}: {reason_of(error)}; {self._remedy(error)}")

    def began(self, part: str, error: BaseException) -> None:
        """Record that ``part`` failed by ``error``, a WarehouseError or a group of them."""
        failure = first_error(error)
        if not isinstance(failure, WarehouseError):
            failure = WarehouseUnavailable(str(failure), reason=reason_of(failure))
        self._failing[part] = failure
        if self._episode.failed(failure.state):
            log.error(
                f"{failure.state}: {self._consequence}; {self._remedy(failure)}",
                database=self._database,
                part=part,
                reason=reason_of(failure),
            )

    def observe(self, error: BaseException) -> None:
        """Record ``error`` of what is not tried again, such as a command, until the next ``checked``.

        Ignored unless Postgres stores nothing: a command may also fail by a fault of its own.
        """
        if refuses_writes(error):
            self.began(_OBSERVED, error)

    def checked(self) -> None:
        """Record that Postgres can store."""
        self.ended(_OBSERVED)

    def ended(self, part: str) -> None:
        """Record that ``part`` works."""
        self._failing.pop(part, None)
        if self._episode and not self._failing and (recovery := self._episode.worked()) is not None:
            log.info(
                "Postgres stores again",
                database=self._database,
                away_s=recovery.lasted_s,
                failures=recovery.failures,
            )

    def _remedy(self, error: WarehouseError) -> str:
        disk = self._full_disk()
        return error.remedy if disk is None else f"free space: {disk}"


def refuses_writes(error: BaseException) -> bool:
    """Whether Postgres answers and stores nothing: a retry at once cannot succeed."""
    return isinstance(first_error(error), WarehouseFull | WarehouseReadOnly)


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
