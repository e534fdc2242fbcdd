"""A run launcher that detects runs whose process has died.

Dagster's default launcher has no health check: a run killed together with its code server stays "started"
forever, and blocks every schedule that waits for its end.
"""

from __future__ import annotations

from dagster import DagsterRun, DefaultRunLauncher

from pipelines.dagster_private import (
    CanCancelExecutionRequest,
    CanCancelExecutionResult,
    CheckRunHealthResult,
    DagsterGrpcClient,
    DagsterUserCodeUnreachableError,
    WorkerStatus,
    deserialize_value,
)

_TIMEOUT_S = 10


class WatchedRunLauncher(DefaultRunLauncher):
    """The default launcher, with a health check of the process of each run."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: Dagster's run monitoring calls ``check_run_worker_health``."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Ask the code server that started the run. Another server never reuses its socket."""
        server: DagsterGrpcClient | None = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if server is None:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, "the run has no record of its code server")
        request = CanCancelExecutionRequest(run_id=run.run_id)
        try:
            response = server.can_cancel_execution(request, timeout=_TIMEOUT_S)
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the code server of the run is gone")
        if not deserialize_value(response, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the code server no longer runs it")
        return CheckRunHealthResult(WorkerStatus.RUNNING)
