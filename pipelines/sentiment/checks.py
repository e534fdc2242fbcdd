"""What must be true of sentiment, whatever a run said of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import dagster as dg

from coinwatch.sentiment.scoring import DayScore, Source, parts_of, score_of
from coinwatch.times import to_datetime, utc_day
from pipelines.fundamentals.report import cell, table
from pipelines.sentiment.collect import Collected, Conn
from pipelines.sentiment.texts import Outlet
from warehouse.sentiment.store import newest_day

QUIET = timedelta(days=2)
"""Outlets of this trade publish every day."""

OUTLETS_READ = dg.AssetCheckSpec(
    "outlets_are_read",
    asset="news",
    description=f"Every outlet answers, and had something new within {QUIET.days} days.",
)
FEAR_GREED_FRESH = dg.AssetCheckSpec(
    "fear_greed_is_sane_and_fresh",
    asset="sentiment",
    description="The Fear & Greed index of yesterday or today is stored, and all are from 0 to 100.",
)
SOURCES_TOLD = dg.AssetCheckSpec(
    "sources_told",
    asset="sentiment",
    description="Every source that was asked has answered; what one lacks, the next run asks for again.",
)
COMBINED_OF_PARTS = dg.AssetCheckSpec(
    "combined_scores_follow_from_their_parts",
    asset="sentiment",
    description="Each combined score of these days is the mean of the parts stored with it, by their "
    "weights, and these parts are what is stored of their sources.",
    blocking=True,
)
SCORES_CHECKS = [FEAR_GREED_FRESH, SOURCES_TOLD, COMBINED_OF_PARTS]
"""Evaluated by the asset itself, because Dagster skips checks of an asset that failed."""


def check_outlets(outlets: Sequence[Outlet], now_us: int) -> dg.AssetCheckResult:
    """Evaluate OUTLETS_READ."""
    since = to_datetime(now_us) - QUIET
    rows = []
    for outlet in outlets:
        if outlet.error:
            rows.append(f"| {outlet.name} | {cell(str(outlet.error))} |")
        elif outlet.changed_at and outlet.changed_at < since and not outlet.stored.new:
            rows.append(f"| {outlet.name} | nothing new since {outlet.changed_at:%Y-%m-%d %H:%M} UTC |")
    return _result(OUTLETS_READ, rows, {"outlets": len(outlets)}, dg.AssetCheckSeverity.WARN)


async def check_scores(
    conn: Conn, collected: Collected, scores: Sequence[DayScore], now_us: int
) -> list[dg.AssetCheckResult]:
    """Evaluate SCORES_CHECKS; ``scores`` are all that is stored of the days."""
    index = [one for one in scores if one.source == Source.FEAR_GREED and one.value is not None]
    rows = [f"| {one.day} | {one.value} |" for one in index if not 0 <= (one.value or 0.0) <= 100]
    newest = await newest_day(conn, Source.FEAR_GREED)
    if newest is None or newest < utc_day(now_us) - timedelta(days=1):
        rows.append(f"| newest | {newest or 'none stored'} |")
    failed = [
        f"| {source} | {cell(str(error))} |"
        for source, told in collected.told.items()
        for error in told.errors
    ]
    combined = [one for one in scores if one.source == Source.COMBINED]
    wrong = _not_of_parts(combined, scores)
    return [
        _result(FEAR_GREED_FRESH, rows, {"days": len(index)}, dg.AssetCheckSeverity.ERROR),
        _result(SOURCES_TOLD, failed, {"sources": len(collected.told)}, dg.AssetCheckSeverity.WARN),
        _result(COMBINED_OF_PARTS, wrong, {"combined": len(combined)}, dg.AssetCheckSeverity.ERROR),
    ]


def _not_of_parts(combined: Sequence[DayScore], scores: Sequence[DayScore]) -> list[str]:
    stored = {(one.day, one.source, one.base): one.score for one in scores}
    rows = []
    for one in combined:
        parts = parts_of(one.detail)
        if not parts or abs(score_of(parts) - (one.score or 0.0)) > 1e-6:
            rows.append(f"| {one.day} {one.base or 'market'} | is {one.score} |")
        for part in parts:
            now = stored.get((one.day, part.source, None if part.of_market else one.base))
            if now is None or abs(now - part.score) > 1e-6:
                rows.append(f"| {one.day} {one.base or 'market'} | {part.source} is {now} |")
    return rows


def _result(
    spec: dg.AssetCheckSpec, rows: Sequence[str], counts: Mapping[str, int], severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    found = {"found": dg.MetadataValue.md(table("| what | found |", "|---|---|", rows))} if rows else {}
    return dg.AssetCheckResult(
        check_name=spec.name,
        asset_key=spec.asset_key,
        passed=not rows,
        severity=severity,
        metadata={**counts, "wrong": len(rows), **found},
    )
