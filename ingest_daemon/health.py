"""What ``/healthz`` and the heartbeat report of a daemon."""

from __future__ import annotations

from coinwatch.health.problems import Code, Problem
from ingest_daemon.context import DaemonContext
from ingest_daemon.http import Health
from ingest_daemon.storage.committer import Committer
from ingest_daemon.storage.spool import Spool

ALL_DOWN_S = 10.0
"""How long no market may be live before it is a problem: a reconnect takes less."""


class HealthReport:
    """The problems of a daemon and its numbers, read from its parts when asked."""

    def __init__(self, context: DaemonContext, committer: Committer, spool: Spool) -> None:
        self._context = context
        self._committer = committer
        self._spool = spool

    def __call__(self) -> Health:
        """The problems now."""
        detail = {
            "queue": len(self._context.queue),
            "spool_bytes": self._spool.bytes,
            "markets": self._context.status_board.states(),
            "disks": self._context.disk_watch.measured,
        }
        return Health(self._problems(), detail)

    def metrics(self) -> bytes:
        """All metrics in the Prometheus text format, the problems among them."""
        metrics, health = self._context.metrics, self()
        metrics.queue_depth.set(len(self._context.queue))
        metrics.spool_bytes.set(self._spool.bytes)
        codes = {problem.code for problem in health.problems}
        for code in Code:
            metrics.problem.labels(code).set(code in codes)
        return metrics.text()

    def _problems(self) -> list[Problem]:
        problems = [self._context.outage.problem, self._committer.problem]
        if (disk := self._context.disk_watch.full()) is not None:
            problems.append(Problem(Code.DISK_FULL, f"{disk}: free space on it"))
        problems.append(self._markets_down())
        return [problem for problem in problems if problem is not None]

    def _markets_down(self) -> Problem | None:
        board = self._context.status_board
        if board.none_live_s < ALL_DOWN_S:
            return None
        why = f": {error}" if (error := board.last_error) else ""
        return Problem(Code.MARKETS_DOWN, f"none of {len(board.health)} markets is live{why}")
