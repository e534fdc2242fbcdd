"""What Dagster finds when it loads us."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml

from coinwatch.times import now_us, utc_day
from pipelines.definitions import defs
from pipelines.market_data.assets.candles import candles_1m
from tests.conftest import PROJECT


def test_definitions_are_valid_and_have_their_names() -> None:
    dg.Definitions.validate_loadable(defs)
    assets = defs.resolve_asset_graph().get_all_asset_keys()
    assert {key.to_user_string() for key in assets} >= {"markets", "candles_1m", "rollups", "gap_report"}
    checks = defs.resolve_asset_graph().asset_check_keys
    assert {key.name for key in checks} >= {"no_uncovered_range_in_last_hour", "no_gap_older_than_a_day"}


def test_schedules_and_sensors_are_on_by_default() -> None:
    repository = defs.get_repository_def()
    schedules = {schedule.name: schedule.default_status.value for schedule in repository.schedule_defs}
    assert schedules.keys() >= {"candles_every_5_minutes", "markets_every_hour", "gap_report_every_hour"}
    assert set(schedules.values()) == {"RUNNING"}
    sensors = {sensor.name: sensor.default_status.value for sensor in repository.sensor_defs}
    assert sensors.keys() >= {"fill_gaps", "roll_up_when_due"}
    assert set(sensors.values()) == {"RUNNING"}


def test_every_schedule_skips_while_its_run_is_in_progress(instance: dg.DagsterInstance) -> None:
    repository = defs.get_repository_def()
    for schedule in repository.schedule_defs:
        if schedule.name == "candles_every_5_minutes":
            continue  # by its day; see test_routine.py
        job = defs.resolve_job_def(schedule.job_name)
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        tick = schedule.evaluate_tick(dg.build_schedule_context(instance))
        assert tick.skip_message == f"Run {run.run_id} is still in progress.", schedule.name
        assert not tick.run_requests


def test_today_has_a_partition_and_tomorrow_has_none() -> None:
    assert candles_1m.partitions_def is not None
    keys = candles_1m.partitions_def.get_partition_keys(
        current_time=datetime(2026, 11, 21, 0, 0, 1, tzinfo=UTC)
    )
    assert keys[-1] == "2026-11-21"
    assert candles_1m.partitions_def.get_last_partition_key() == utc_day(now_us()).isoformat()


def test_every_asset_has_a_description_and_owners() -> None:
    for key in defs.resolve_asset_graph().get_all_asset_keys():
        (spec,) = [spec for spec in defs.resolve_assets_def(key).specs if spec.key == key]
        assert spec.description, key
        assert spec.owners, key
        assert spec.group_name in ("market_data", "fundamentals", "sentiment", "maintenance"), key
        assert spec.freshness_policy, key


def test_definitions_load_quickly_without_a_database() -> None:
    """In a process of its own, as the code server does, with an address where nothing listens."""
    script = "import time; t = time.monotonic(); import pipelines.definitions; print(time.monotonic() - t)"
    environment = {**os.environ, "COINWATCH_DATABASE_URL": "postgresql://user@127.0.0.1:1/none"}
    answer = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(answer.stdout) < 60
    assert answer.stderr == ""


@pytest.mark.usefixtures("dagster_home")
def test_dagster_loads_the_workspace() -> None:
    """As its code server does, which takes a module with one Definitions only."""
    answer = subprocess.run(
        [str(Path(sys.executable).parent / "dagster"), "definitions", "validate"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


def test_the_workspace_names_our_definitions() -> None:
    workspace = yaml.safe_load((PROJECT / "workspace.yaml").read_text())
    (location,) = workspace["load_from"]
    assert location["python_module"]["module_name"] == "pipelines.definitions"
