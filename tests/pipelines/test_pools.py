"""Who may run beside whom: dagster.yaml's pools and limits, and what becomes of a killed run's place."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.execution.api import create_execution_plan
from dagster._core.instance.config import PoolGranularity
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from pipelines.definitions import defs
from pipelines.market_data.assets.candles import POOL
from pipelines.market_data.partitions import run_for_days
from pipelines.run_tags import ALONE
from tests.conftest import PROJECT
from tests.pipelines.test_daemon import daemon
from tests.waiting import eventually

DAGSTER = str(Path(sys.executable).parent / "dagster")
TODAY = date(2026, 3, 10)
BACKFILL = {"dagster/backfill": "march"}
GAPS = {"dagster/sensor_name": "fill_gaps"}

LONG_WORK = """
import pathlib, time
import dagster as dg

@dg.asset(pool="exchanges")
def long_work():
    while not pathlib.Path({end!r}).exists():
        time.sleep(0.1)

defs = dg.Definitions(
    assets=[long_work], jobs=[dg.define_asset_job("work", [long_work])], executor=dg.in_process_executor
)
"""


def queue(
    instance: dg.DagsterInstance,
    job: str,
    tags: dict[str, str] | None = None,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.QUEUED,
) -> str:
    """A run of ours as the daemon finds it; of candles, it ends with TODAY."""
    job_def = defs.resolve_job_def(job)
    tags = {**job_def.run_tags, **(tags or {})}
    if job_def.partitions_def:
        tags = {**run_for_days(TODAY, TODAY).tags, **tags}
    plan = create_execution_plan(job_def, tags=tags)
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("coinwatch"), "__repository__")
    run = instance.create_run_for_job(
        job_def,
        execution_plan=plan,
        status=status,
        tags=tags,
        remote_job_origin=RemoteJobOrigin(repository, job),
    )
    return run.run_id


def let_start(instance: dg.DagsterInstance) -> set[str]:
    """Ids of the queued runs that Dagster's daemon would start now, in a pool it has met before."""
    if POOL not in instance.event_log_storage.get_concurrency_keys():
        instance.event_log_storage.initialize_concurrency_limit_to_default(POOL)
    runs = QueuedRunCoordinatorDaemon(interval_seconds=5)._get_runs_to_dequeue(
        instance, instance.get_concurrency_config(), fixed_iteration_time=None
    )
    return {run.run_id for run in runs}


def test_pools_leave_slots_to_the_scheduled_run_and_others(instance: dg.DagsterInstance) -> None:
    """The relations between the numbers that dagster.yaml documents hold."""
    config = instance.get_concurrency_config()
    assert config.run_queue_config
    assert config.pool_config.pool_granularity is PoolGranularity.RUN
    pool = config.pool_config.default_pool_limit
    assert pool is not None
    limits = config.run_queue_config.tag_concurrency_limits
    limited = sum(limit["limit"] for limit in limits if limit["key"] != ALONE)
    assert limited < pool < config.run_queue_config.max_concurrent_runs


def test_assets_are_in_the_pool_of_their_provider() -> None:
    graph = defs.resolve_asset_graph()
    pools = {key.to_user_string(): graph.get(key).pools for key in graph.get_all_asset_keys()}
    assert pools["candles_1m"] == pools["candle_checks"] == {POOL}
    assert pools["asset_metrics"] == pools["asset_metadata"] == {"coingecko"}
    assert pools["rollups"] == pools["gap_report"] == set()


def test_backfills_leave_a_slot_to_the_scheduled_run(instance: dg.DagsterInstance) -> None:
    started = dg.DagsterRunStatus.STARTED
    for _ in range(2):
        queue(instance, "fill_gaps", BACKFILL, started)
    queue(instance, "fill_gaps", GAPS, started)
    waits = {queue(instance, "fill_gaps", BACKFILL) for _ in range(10)} | {queue(instance, "fill_gaps", GAPS)}
    routine = queue(instance, "collect_candles")
    assert let_start(instance) == {routine}, "though it came last"
    assert not waits & let_start(instance)


def test_a_full_pool_does_not_delay_other_runs(instance: dg.DagsterInstance) -> None:
    for _ in range(4):
        queue(instance, "collect_candles", status=dg.DagsterRunStatus.STARTED)
    queue(instance, "check_candles")
    rollups = queue(instance, "roll_up")
    assert let_start(instance) == {rollups}


def test_collections_run_one_at_a_time(instance: dg.DagsterInstance) -> None:
    """Also those that a person or a sensor queued: a slow source does not pile up runs."""
    for job in ("collect_news", "collect_asset_metrics", "refresh_markets"):
        queue(instance, job, status=dg.DagsterRunStatus.STARTED)
        waits = {queue(instance, job) for _ in range(3)}
        assert not waits & let_start(instance)
    other = queue(instance, "collect_sentiment")
    assert let_start(instance) == {other}


@pytest.mark.proof
@pytest.mark.usefixtures("without_dagster")
@pytest.mark.parametrize("granularity", ["run", "op"])
async def test_a_killed_run_frees_its_slot(dagster_home: Path, tmp_path: Path, granularity: str) -> None:
    """By Dagster's own daemon, with one place in the pool; also where places belong to steps, which
    Dagster frees only if it is configured to.
    """
    end = tmp_path / "end"
    set_up(dagster_home, LONG_WORK.format(end=str(end)), granularity)
    with dg.DagsterInstance.get() as instance, daemon(dagster_home):
        first = launch(dagster_home)
        await eventually(lambda: step_began_s(instance, first), timeout_s=60)
        second = launch(dagster_home)
        os.kill(pid_of(instance, first), signal.SIGKILL)
        end.touch()
        await eventually(lambda: status(instance, second) is dg.DagsterRunStatus.SUCCESS, timeout_s=60)
        killed = instance.get_run_record_by_id(first)
        assert killed is not None
        assert killed.dagster_run.status is dg.DagsterRunStatus.FAILURE
        assert killed.end_time is not None
        began_s = step_began_s(instance, second)
        assert began_s is not None
        assert killed.end_time < began_s, "one at a time"
        assert not instance.event_log_storage.get_concurrency_run_ids()


def launch(home: Path) -> str:
    """Put a run of ``work`` into the queue, by Dagster's command line; returns its id."""
    run_id = str(uuid.uuid4())
    command = ["job", "launch", "--workspace", "workspace.yaml", "--job", "work", "--run-id", run_id]
    answer = subprocess.run([DAGSTER, *command], cwd=home, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def step_began_s(instance: dg.DagsterInstance, run_id: str) -> float | None:
    """When the step got to work, None while it did not."""
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_START)
    return events[0].timestamp if events else None


def pid_of(instance: dg.DagsterInstance, run_id: str) -> int:
    """The process of a run, as its log names it."""
    messages = [entry.message for entry in instance.all_logs(run_id)]
    (pid,) = {match[1] for message in messages if (match := re.search(r"\(pid: (\d+)\)", message))}
    return int(pid)


def set_up(home: Path, code: str, granularity: str) -> None:
    """Our dagster.yaml with one place a pool and short waits, and a workspace of ``code``."""
    config: dict[str, Any] = yaml.safe_load((PROJECT / "dagster.yaml").read_text())
    config["concurrency"]["pools"] = {"default_limit": 1, "granularity": granularity}
    config["concurrency"]["pools"] |= {"op_granularity_run_buffer": 1} if granularity == "op" else {}
    assert config["run_monitoring"]["enabled"]
    config["run_monitoring"] |= {"poll_interval_seconds": 1, "free_slots_after_run_end_seconds": 2}
    config["run_retries"]["enabled"] = False
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    (home / "long_work.py").write_text(code)
    (home / "workspace.yaml").write_text("load_from: [{python_file: long_work.py}]\n")
