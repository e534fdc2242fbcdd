"""The scheduled jobs of the group ``market_data``, and the state of their runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from pipelines.market_data.assets.candle_checks import candle_checks
from pipelines.market_data.assets.candles import candles_1m
from pipelines.market_data.assets.gap_report import gap_report
from pipelines.market_data.assets.indicators import indicators
from pipelines.market_data.assets.markets import markets
from pipelines.market_data.assets.rollups import rollups
from pipelines.run_tags import HIGH_PRIORITY, alone, last_partition

MARKETS_JOB = dg.define_asset_job(
    "refresh_markets",
    selection=dg.AssetSelection.assets(markets),
    description="Refresh the market lists of all exchanges.",
    tags=alone("refresh_markets"),
)
CANDLES_JOB = dg.define_asset_job(
    "collect_candles",
    selection=dg.AssetSelection.assets(candles_1m),
    description="Complete today's candles of all markets in one run, every five minutes.",
    tags=HIGH_PRIORITY,
)
GAPS_JOB = dg.define_asset_job(
    "fill_gaps",
    selection=dg.AssetSelection.assets(candles_1m),
    description="Fill missing ranges of earlier days without delaying today's candles.",
)
ROLLUPS_JOB = dg.define_asset_job(
    "roll_up",
    selection=dg.AssetSelection.assets(rollups, indicators),
    description="Rebuild the candles of 5m and longer whose minutes changed, and their indicators.",
    tags=alone("roll_up"),
)
CHECKS_JOB = dg.define_asset_job(
    "check_candles",
    selection=dg.AssetSelection.assets(candle_checks),
    description="Compare days of candles with the exchanges' own, and correct differences.",
    tags=alone("check_candles"),
)
REPORT_JOB = dg.define_asset_job(
    "report_gaps",
    selection=dg.AssetSelection.assets(gap_report),
    description="List missing and unavailable candles.",
    tags=alone("report_gaps"),
)

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def run_under_way(instance: dg.DagsterInstance, job_name: str) -> str | None:
    """The id of a queued or running run of the job, None when there is none."""
    ids = instance.get_run_ids(dg.RunsFilter(job_name=job_name, statuses=UNDER_WAY), limit=1)
    return ids[0] if ids else None


def collecting(instance: dg.DagsterInstance, day: str | None = None) -> str | None:
    """The id of a queued or running run that collects candles, by schedule, sensor or backfill.

    ``day``: only a run whose last partition is this one.
    """
    for run in instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY)):
        of_candles = run.job_name in (CANDLES_JOB.name, GAPS_JOB.name)
        collects = of_candles or candles_1m.key in (run.asset_selection or ())
        if collects and day in (None, last_partition(run)):
            return run.run_id
    return None


def ran_within(instance: dg.DagsterInstance, job_name: str, span: timedelta) -> bool:
    """Whether a run of the job was created or changed state in the last ``span``."""
    since = datetime.now(UTC) - span
    return bool(instance.get_run_ids(dg.RunsFilter(job_name=job_name, updated_after=since), limit=1))
