"""Private parts of Dagster that we use. No other module imports them.

pyproject.toml bounds Dagster to the minor version they were written against; a test names each part that
a newer version lacks.
"""

from dagster._config import UserConfigSchema
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.scheduler.instigation import InstigatorState
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    PRIORITY_TAG,
    WILL_RETRY_TAG,
)
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData, deserialize_value

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "PARTITION_NAME_TAG",
    "PRIORITY_TAG",
    "WILL_RETRY_TAG",
    "CanCancelExecutionRequest",
    "CanCancelExecutionResult",
    "CheckRunHealthResult",
    "ConfigurableClassData",
    "DagsterGrpcClient",
    "DagsterUserCodeUnreachableError",
    "InstigatorState",
    "LocalArtifactStorage",
    "LocalComputeLogManager",
    "UserConfigSchema",
    "WorkerStatus",
    "deserialize_value",
]
