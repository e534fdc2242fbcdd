from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy
from dagster import AssetKey, DagsterRun
from dagster._core.storage.runs.schema import RunsTable, RunStorageSqlMetadata, RunTagsTable
from dagster._serdes import serialize_value
from sqlalchemy import URL

from warehouse.dagster import last_runs


def test_runs_are_read_as_dagster_stores_them(empty_database: URL) -> None:
    engine = sqlalchemy.create_engine(empty_database)
    RunStorageSqlMetadata.create_all(engine)
    chosen = DagsterRun("__ASSET_JOB", asset_selection=frozenset({AssetKey("rollups"), AssetKey("candles")}))
    named = DagsterRun("sentiment_job")
    with engine.begin() as conn:
        for run, status in ((chosen, "SUCCESS"), (named, "STARTED")):
            conn.execute(
                RunsTable.insert().values(
                    run_id=run.run_id,
                    pipeline_name=run.job_name,
                    status=status,
                    run_body=serialize_value(run),
                    create_timestamp=datetime(2026, 11, 20, 12),  # noqa: DTZ001 -- as Dagster stores it, UTC
                    start_time=1_795_176_001.5,
                    end_time=1_795_176_003.0 if status == "SUCCESS" else None,
                )
            )
        conn.execute(
            RunTagsTable.insert().values(
                [
                    {"run_id": chosen.run_id, "key": "dagster/partition", "value": "2026-11-19"},
                    {"run_id": chosen.run_id, "key": "dagster/schedule_name", "value": "every_day"},
                ]
            )
        )
        running, done = last_runs(conn, 10)
    engine.dispose()
    assert (done.job, done.partition, done.launched_by) == ("candles, rollups", "2026-11-19", "every_day")
    assert done.created == datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert done.started is not None
    assert done.ended is not None
    assert (done.ended - done.started).total_seconds() == 1.5
    assert (running.job, running.status, running.ended) == ("sentiment_job", "STARTED", None)
