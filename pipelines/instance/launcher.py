"""Runs whose process died are noticed.

Dagster's default launcher has no health check: a run killed with its code server stays "started"
for ever, and with it every schedule that waits for it to end.
"""

from __future__ import annotations

from dagster import DagsterRun, DefaultRunLauncher
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

_ANSWER_WITHIN_S = 10


class WatchedRunLauncher(DefaultRunLauncher):
    """The default launcher, able to say whether a run's process is still there."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Ask the code server that started the run, whose socket is never used again by another."""
        server: DagsterGrpcClient | None = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if server is None:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, "the run does not say where it was started")
        request = CanCancelExecutionRequest(run_id=run.run_id)
        try:
            answer = server.can_cancel_execution(request, timeout=_ANSWER_WITHIN_S)
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the code server that started it is gone")
        if not deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its code server no longer runs it")
        return CheckRunHealthResult(WorkerStatus.RUNNING)
