from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy
from dagster import AssetKey, DagsterEvent, DagsterEventType, DagsterRun, EventLogEntry
from dagster._core.events import JobFailureData
from dagster._core.execution.plan.objects import StepFailureData, UserFailureData
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata, SqlEventLogStorageTable
from dagster._core.storage.runs.schema import RunsTable, RunStorageSqlMetadata, RunTagsTable
from dagster._serdes import serialize_value
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy import URL

from warehouse.ops.dagster import last_runs


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


def test_failed_runs_have_their_reason(empty_database: URL) -> None:
    engine = sqlalchemy.create_engine(empty_database)
    RunStorageSqlMetadata.create_all(engine)
    SqlEventLogStorageMetadata.create_all(engine)
    raised = SerializableErrorInfo("wrapped", [], None, SerializableErrorInfo("no route\n", [], None))
    failure = UserFailureData("described", "kraken: 429", {})  # type: ignore[no-untyped-call]
    whole = DagsterEvent(
        DagsterEventType.RUN_FAILURE.value,
        "job",
        message="run ended",
        event_specific_data=JobFailureData(None),
    )
    by_run = {
        "raised": [_step(raised, None), whole],
        "described": [_step(raised, failure), whole],
        "whole": [whole],
    }
    with engine.begin() as conn:
        for name, events in by_run.items():
            conn.execute(
                RunsTable.insert().values(
                    run_id=name,
                    pipeline_name="job",
                    status="FAILURE",
                    run_body=serialize_value(DagsterRun("job")),
                )
            )
            for event in events:
                entry = EventLogEntry(  # type: ignore[no-untyped-call]
                    error_info=None,
                    level=40,
                    user_message="",
                    run_id=name,
                    timestamp=0.0,
                    dagster_event=event,
                )
                conn.execute(
                    SqlEventLogStorageTable.insert().values(
                        run_id=name, event=serialize_value(entry), dagster_event_type=event.event_type_value
                    )
                )
        reasons = {run.run_id: run.why for run in last_runs(conn, 10)}
    engine.dispose()
    assert reasons == {"raised": "no route", "described": "kraken: 429", "whole": "run ended"}


def _step(error: SerializableErrorInfo, failure: UserFailureData | None) -> DagsterEvent:
    data = StepFailureData(error, failure)  # type: ignore[no-untyped-call]
    return DagsterEvent(DagsterEventType.STEP_FAILURE.value, "job", step_key="x", event_specific_data=data)
