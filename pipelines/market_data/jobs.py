"""The jobs that run without being asked, and whether one is under way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from pipelines.dagster_private import ASSET_PARTITION_RANGE_END_TAG, PARTITION_NAME_TAG, PRIORITY_TAG
from pipelines.market_data.assets.candle_checks import candle_checks
from pipelines.market_data.assets.candles import candles_1m
from pipelines.market_data.assets.gap_report import gap_report
from pipelines.market_data.assets.indicators import indicators
from pipelines.market_data.assets.markets import markets
from pipelines.market_data.assets.rollups import rollups

MARKETS_JOB = dg.define_asset_job(
    "refresh_markets",
    selection=dg.AssetSelection.assets(markets),
    description="Refresh every exchange's list.",
)
CANDLES_JOB = dg.define_asset_job(
    "collect_candles",
    selection=dg.AssetSelection.assets(candles_1m),
    description="Keep today complete: one run over all markets, every five minutes.",
    tags={PRIORITY_TAG: "1"},  # the others can wait
)
GAPS_JOB = dg.define_asset_job(
    "fill_gaps",
    selection=dg.AssetSelection.assets(candles_1m),
    description="Fill what is missing of the days before, without holding up today.",
)
ROLLUPS_JOB = dg.define_asset_job(
    "roll_up",
    selection=dg.AssetSelection.assets(rollups, indicators),
    description="Make the candles of 5m and longer whose minutes changed, and their indicators.",
)
CHECKS_JOB = dg.define_asset_job(
    "check_candles",
    selection=dg.AssetSelection.assets(candle_checks),
    description="Compare days with the exchanges' own, and mend what differs.",
)
REPORT_JOB = dg.define_asset_job(
    "report_gaps",
    selection=dg.AssetSelection.assets(gap_report),
    description="List what is missing, and what nobody can have any more.",
)

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def run_under_way(instance: dg.DagsterInstance, job_name: str) -> str | None:
    """The id of a run of the job that is queued or running, None when there is none."""
    ids = instance.get_run_ids(dg.RunsFilter(job_name=job_name, statuses=UNDER_WAY), limit=1)
    return ids[0] if ids else None


def collecting(instance: dg.DagsterInstance, day: str | None = None) -> str | None:
    """The id of a run under way that collects candles, whoever asked for it: a schedule, a backfill.

    ``day``: only a run that ends with this partition.
    """
    for run in instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY)):
        of_candles = run.job_name in (CANDLES_JOB.name, GAPS_JOB.name)
        if of_candles or candles_1m.key in (run.asset_selection or ()):
            last = run.tags.get(ASSET_PARTITION_RANGE_END_TAG) or run.tags.get(PARTITION_NAME_TAG)
            if day in (None, last):
                return run.run_id
    return None


def ran_within(instance: dg.DagsterInstance, job_name: str, span: timedelta) -> bool:
    """Whether a run of the job was created or changed state in the last ``span``."""
    since = datetime.now(UTC) - span
    return bool(instance.get_run_ids(dg.RunsFilter(job_name=job_name, updated_after=since), limit=1))
