"""Dagster metadata of the runs of maintenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from pipelines.maintenance.operations import DagsterPruned
from pipelines.market_data.report import spell_all
from warehouse.ops.retention import TICK_BYTES, PartitionDay, TickDrops

_GB = 1e9

Metadata = Mapping[str, dg.MetadataValue]


def ticks_metadata(drops: TickDrops, stored: Sequence[PartitionDay], limits: tuple[int, float]) -> Metadata:
    """Metadata of ``tick_retention``: the drops, the days still stored, and the limits in days and GB."""
    total = sum(day.bytes for day in stored)
    return {
        "days_dropped": dg.MetadataValue.int(len(drops.dropped)),
        "bytes_dropped": dg.MetadataValue.int(sum(day.bytes for day in drops.dropped)),
        "days_lost": dg.MetadataValue.int(len(drops.lost)),
        "days_kept_beyond_limits": dg.MetadataValue.int(len(drops.kept)),
        "bytes_stored": dg.MetadataValue.int(total),
        "ticks_stored_about": dg.MetadataValue.int(total // TICK_BYTES),
        "limits": dg.MetadataValue.text(f"{limits[0]} days or {limits[1]:g} GB"),
        "by_day": dg.MetadataValue.md(_by_day(drops, stored)),
    }


def _by_day(drops: TickDrops, stored: Sequence[PartitionDay]) -> str:
    lines = ["| day | GB | outcome | unverified candles |", "|---|---:|---|---|"]
    fates = {day.day: "dropped" for day in drops.dropped}
    fates |= {day.day: "dropped, candles not verified" for day in drops.lost}
    fates |= {day.day: "kept, candles not verified" for day in drops.kept}
    for day in sorted({day.day: day for day in (*drops.dropped, *stored)}.values(), key=lambda day: day.day):
        unverified = "; ".join(
            f"{market} {spell_all(windows)}" for market, windows in drops.unverified.get(day.day, {}).items()
        )
        lines.append(f"| {day.day} | {day.bytes / _GB:.3f} | {fates.get(day.day, 'stored')} | {unverified} |")
    return "\n".join(lines)


def warning(drops: TickDrops) -> str | None:
    """The days dropped or kept beyond the limits without verified candles; None when there are none."""
    lines = [
        *(
            f"{day.day}: LOST, {_unverified(drops, day)}, and ticks far exceeded their size limit"
            for day in drops.lost
        ),
        *(f"{day.day}: kept beyond the limits, {_unverified(drops, day)}" for day in drops.kept),
    ]
    return "\n".join(lines) or None


def _unverified(drops: TickDrops, day: PartitionDay) -> str:
    return f"candles not verified on {len(drops.unverified[day.day])} markets"


def rows_metadata(deleted: Mapping[str, int], average_days: Sequence[PartitionDay]) -> Metadata:
    """Metadata of ``history_retention``."""
    lines = [
        "| table | deleted |",
        "|---|---:|",
        *(f"| {table} | {rows} |" for table, rows in deleted.items()),
    ]
    lines.append(f"| price_averages | {len(average_days)} days |")
    return {
        "rows_deleted": dg.MetadataValue.int(sum(deleted.values())),
        "bytes_dropped": dg.MetadataValue.int(sum(day.bytes for day in average_days)),
        "by_table": dg.MetadataValue.md("\n".join(lines)),
    }


def dagster_metadata(pruned: DagsterPruned) -> Metadata:
    """Metadata of ``dagster_retention``."""
    return {
        "events_deleted": dg.MetadataValue.int(pruned.chatter_events + pruned.superseded_events),
        "events_of_old_runs": dg.MetadataValue.int(pruned.chatter_events),
        "events_superseded": dg.MetadataValue.int(pruned.superseded_events),
        "runs_deleted": dg.MetadataValue.int(pruned.runs),
        "folders_deleted": dg.MetadataValue.int(pruned.folders),
        "database_bytes": dg.MetadataValue.int(pruned.database_bytes),
    }
