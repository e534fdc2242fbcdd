"""The tags of Dagster's runs that Coinwatch reads and writes."""

from __future__ import annotations

import dagster as dg

from pipelines.dagster_private import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    PRIORITY_TAG,
    WILL_RETRY_TAG,
)

HIGH_PRIORITY = {PRIORITY_TAG: "1"}
"""Tags of a job whose queued runs start before others."""

ALONE = "coinwatch/alone"
"""The run queue starts one run at a time for each value of this tag; see dagster.yaml."""


def alone(job_name: str) -> dict[str, str]:
    """Tags of a job whose runs wait for each other, whatever requested them."""
    return {ALONE: job_name}


def partition_range_tags(first: str, last: str) -> dict[str, str]:
    """The tags of one run over all partitions from ``first`` to ``last``."""
    return {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}


def last_partition(run: dg.DagsterRun) -> str | None:
    """The last partition of a run; None when it has no partitions."""
    return run.tags.get(ASSET_PARTITION_RANGE_END_TAG) or run.tags.get(PARTITION_NAME_TAG)


def will_retry(run: dg.DagsterRun) -> bool:
    """Whether Dagster will retry the failed run."""
    return run.tags.get(WILL_RETRY_TAG) == "true"
