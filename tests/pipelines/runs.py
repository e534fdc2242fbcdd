"""Runs of jobs in the process of a test, and their metadata, checks and failures."""

from __future__ import annotations

import asyncio
from typing import Any

import dagster as dg

from pipelines.definitions import defs


async def run(
    instance: dg.DagsterInstance, job: str, *, definitions: dg.Definitions = defs, **given: Any
) -> dg.ExecuteInProcessResult:
    """In a thread: assets start a loop, and the simulator needs this one's."""
    return await asyncio.to_thread(
        definitions.resolve_job_def(job).execute_in_process, instance=instance, raise_on_error=False, **given
    )


def metadata_of(instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    """Of its newest materialisation."""
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return {key: value.value for key, value in event.asset_materialization.metadata.items()}


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Which checks were made, and whether they passed."""
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """The description of the failure of the only failed step."""
    (failed,) = (event for event in result.all_events if event.is_step_failure)
    description = failed.step_failure_data.user_failure_data
    assert description is not None
    assert description.description is not None
    return description.description
