"""Dagster's instance as dagster.yaml describes it, on Postgres."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from sqlalchemy import URL

from coinwatch.settings import load_settings
from pipelines.instance.launcher import WatchedRunLauncher
from pipelines.instance.storage import dagster_url
from warehouse.db.connect import conninfo, database_url
from warehouse.ops.dagster import DAGSTER_DATABASE

OPEN_THE_INSTANCE = "import dagster; dagster.DagsterInstance.get().get_run_records()"


def test_the_url_names_the_driver_dagster_needs() -> None:
    url = URL.create("postgresql+psycopg", "me", "p@ss/word", "db.example", 5433, "dagster")
    assert dagster_url(url) == "postgresql+psycopg2://me:p%40ss%2Fword@db.example:5433/dagster"


def test_runs_are_kept_in_a_database_of_their_own(instance: dg.DagsterInstance) -> None:
    with psycopg.connect(conninfo(database_url(load_settings(), DAGSTER_DATABASE))) as conn:
        tables = {name for (name,) in conn.execute("select tablename from pg_tables")}
    assert {"runs", "event_logs", "job_ticks"} <= tables


def test_files_are_kept_in_the_data_folder(instance: dg.DagsterInstance, dagster_home: Path) -> None:
    data_dir = load_settings().data_dir
    assert Path(instance.storage_directory()).is_relative_to(data_dir)
    log = instance.compute_log_manager.get_captured_local_path(["run", "step"], "out")  # type: ignore[attr-defined]
    assert Path(log).is_relative_to(data_dir)
    assert [path.name for path in dagster_home.iterdir()] == ["dagster.yaml"]


def test_the_settings_that_keep_runs_from_hanging_are_on(instance: dg.DagsterInstance) -> None:
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_start_timeout_seconds == 180
    assert instance.run_monitoring_max_runtime_seconds > 0
    assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] > 0
    assert instance.run_retries_enabled
    assert not instance.run_retries_retry_on_asset_or_op_failure
    assert not instance.telemetry_enabled
    assert isinstance(instance.run_launcher, WatchedRunLauncher)


@pytest.mark.usefixtures("dagster_home", "without_dagster")
def test_programs_that_start_together_on_an_empty_server_do_not_collide() -> None:
    """The webserver, the daemon and a code server all open the instance within the same second."""
    programs = [
        subprocess.Popen([sys.executable, "-c", OPEN_THE_INSTANCE], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    errors = [program.communicate(timeout=60)[1] for program in programs]
    assert [program.returncode for program in programs] == [0] * len(programs), errors
    assert not any("rror" in error or "Retrying" in error for error in errors)


def test_a_run_whose_code_server_is_gone_is_noticed(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(_job, status=dg.DagsterRunStatus.STARTED)
    launcher = instance.run_launcher
    assert launcher.supports_check_run_worker_health
    assert launcher.check_run_worker_health(run).status.value == "UNKNOWN", "not launched by us"

    instance.add_run_tags(
        run.run_id, {".dagster/grpc_info": '{"host": "localhost", "socket": "/no/such/socket"}'}
    )
    health = launcher.check_run_worker_health(run)
    assert health.status.value == "NOT_FOUND"
    assert health.msg == "the code server of the run is gone"


@dg.job
def _job() -> None:
    """Nothing to do."""


def test_a_half_stored_state_of_a_sensor_is_repaired(instance: dg.DagsterInstance) -> None:
    """A full disk or a crash may leave a new state in the first of two tables alone."""
    place = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="pipelines.definitions"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(place, "__repository__"), "fill_gaps")
    state = InstigatorState(
        origin, InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, SensorInstigatorData()
    )
    instance.add_instigator_state(state)
    with psycopg.connect(conninfo(database_url(load_settings(), DAGSTER_DATABASE)), autocommit=True) as conn:
        conn.execute("delete from instigators")
        assert instance.all_instigator_state() == []
        instance.add_instigator_state(state)
        assert conn.execute("select count(*) from jobs").fetchone() == (1,)
    assert instance.all_instigator_state() == [state]
