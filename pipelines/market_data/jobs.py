"""The jobs that run without being asked, and whether one is under way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from pipelines.market_data.assets import candles_1m, markets

MARKETS_JOB = dg.define_asset_job(
    "refresh_markets",
    selection=dg.AssetSelection.assets(markets),
    description="Refresh every exchange's list.",
)
CANDLES_JOB = dg.define_asset_job(
    "collect_candles",
    selection=dg.AssetSelection.assets(candles_1m),
    description="Make the recent days complete; one run over all of them and all markets.",
)

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def run_under_way(instance: dg.DagsterInstance, job_name: str) -> str | None:
    """The id of a run of the job that is queued or running, None when there is none."""
    ids = instance.get_run_ids(dg.RunsFilter(job_name=job_name, statuses=_UNDER_WAY), limit=1)
    return ids[0] if ids else None


def ran_within(instance: dg.DagsterInstance, job_name: str, span: timedelta) -> bool:
    """Whether a run of the job was created or changed state in the last ``span``."""
    since = datetime.now(UTC) - span
    return bool(instance.get_run_ids(dg.RunsFilter(job_name=job_name, updated_after=since), limit=1))
