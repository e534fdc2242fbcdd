"""Maintenance as plain functions on connections, folders and a Dagster instance."""

from __future__ import annotations

import asyncio
import shutil
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import msgspec
from psycopg import AsyncConnection

from warehouse.db.partitions import (
    ensure_average_days,
    ensure_candle_months,
    ensure_indicator_months,
    ensure_tick_days,
)
from warehouse.ops.dagster_prune import (
    CHATTER_DAYS,
    HISTORY_DAYS,
    database_bytes,
    delete_chatter,
    delete_superseded,
    forgotten_runs,
    gone_or_old,
    vacuum_dagster,
)

DAYS_AHEAD = 3
"""How many days ahead partitions are created, so that Dagster can be down for that long."""
_RUNS_AT_ONCE = 2_000


class DagsterPruned(msgspec.Struct, frozen=True):
    """What ``prune_dagster`` deleted, and the remaining size of Dagster's database."""

    chatter_events: int
    superseded_events: int
    runs: int
    folders: int
    """Folders of step logs and artifacts, counted by run."""
    database_bytes: int


async def make_partitions(conn: AsyncConnection[Any], today: date) -> list[date]:
    """Create the partitions of today and the next DAYS_AHEAD days; returns the days.

    ``conn`` must be in autocommit. Raises WarehouseError when a lock is not granted within 30 s.
    """
    days = [today + timedelta(days=number) for number in range(DAYS_AHEAD + 1)]
    await ensure_tick_days(conn, days)
    await ensure_average_days(conn, days)
    await ensure_candle_months(conn, days)
    await ensure_indicator_months(conn, days)
    return days


async def prune_dagster(
    conn: AsyncConnection[Any], instance: dg.DagsterInstance, folder: Path, now: datetime
) -> DagsterPruned:
    """Delete what Dagster no longer needs; ``warehouse.ops.dagster_prune`` defines that.

    Args:
        conn: To Dagster's own database, in autocommit.
        instance: The Dagster instance, which deletes the runs.
        folder: The folder of Dagster's local files.
        now: The current time; ages are counted from it.
    """
    chatter_before, history_before = now - timedelta(days=CHATTER_DAYS), now - timedelta(days=HISTORY_DAYS)
    chatter = await delete_chatter(conn, chatter_before)
    superseded = await delete_superseded(conn, history_before)
    runs = await forgotten_runs(conn, history_before, _RUNS_AT_ONCE)
    for run_id in runs:
        await asyncio.to_thread(instance.delete_run, run_id)
    folders = _run_folders(folder)
    old = await gone_or_old(conn, list(folders), chatter_before)
    for run_id in old:
        for path in folders[run_id]:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
    await vacuum_dagster(conn)
    return DagsterPruned(chatter, superseded, len(runs), len(old), await database_bytes(conn))


def _run_folders(folder: Path) -> dict[str, list[Path]]:
    """The folders of step logs and artifacts by run id."""
    folders: dict[str, list[Path]] = {}
    for kind in ("logs", "storage"):
        for path in (folder / kind).glob("*-*-*-*-*"):
            if path.is_dir() and _is_uuid(path.name):
                folders.setdefault(path.name, []).append(path)
    return folders


def _is_uuid(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True
