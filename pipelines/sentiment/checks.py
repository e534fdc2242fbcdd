"""Asset checks of sentiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import dagster as dg

from coinwatch.sentiment.scoring import DayScore, SentimentSource, parts_of, score_of
from coinwatch.times import to_datetime, utc_day
from pipelines.fundamentals.report import cell, table
from pipelines.sentiment.collect import Collected, Conn
from pipelines.sentiment.texts import FeedResult
from warehouse.sentiment.store import newest_day

QUIET = timedelta(days=2)
"""Feeds about crypto publish every day."""

FEEDS_READ = dg.AssetCheckSpec(
    "feeds_are_read",
    asset="news",
    description=f"Every feed, subreddit and channel answers, and had new texts within {QUIET.days} days.",
)
FEAR_GREED_FRESH = dg.AssetCheckSpec(
    "fear_greed_is_sane_and_fresh",
    asset="sentiment",
    description="The Fear & Greed index of yesterday or today is stored, and all values are from 0 to 100.",
)
SOURCES_ANSWERED = dg.AssetCheckSpec(
    "sources_answered",
    asset="sentiment",
    description="Every source answered all requests; the next run retries those that failed.",
)
COMBINED_OF_PARTS = dg.AssetCheckSpec(
    "combined_scores_follow_from_their_parts",
    asset="sentiment",
    description="Each combined score of these days is the weighted mean of the parts stored with it, and the "
    "parts equal the stored scores of their sources.",
    blocking=True,
)
SCORES_CHECKS = [FEAR_GREED_FRESH, SOURCES_ANSWERED, COMBINED_OF_PARTS]
"""Evaluated within the asset, because Dagster skips the checks of a failed asset."""


def check_feeds(results: Sequence[FeedResult], now_us: int) -> dg.AssetCheckResult:
    """Evaluate FEEDS_READ."""
    since = to_datetime(now_us) - QUIET
    rows = []
    for result in results:
        if result.error:
            rows.append(f"| {result.name} | {cell(str(result.error))} |")
        elif result.changed_at and result.changed_at < since and not result.stored.new:
            rows.append(f"| {result.name} | nothing new since {result.changed_at:%Y-%m-%d %H:%M} UTC |")
    return _result(FEEDS_READ, rows, {"feeds": len(results)}, dg.AssetCheckSeverity.WARN)


async def check_scores(
    conn: Conn, collected: Collected, scores: Sequence[DayScore], now_us: int
) -> list[dg.AssetCheckResult]:
    """Evaluate SCORES_CHECKS; ``scores`` are all stored scores of the days."""
    index = [
        score for score in scores if score.source == SentimentSource.FEAR_GREED and score.value is not None
    ]
    rows = [f"| {score.day} | {score.value} |" for score in index if not 0 <= (score.value or 0.0) <= 100]
    newest = await newest_day(conn, SentimentSource.FEAR_GREED)
    if newest is None or newest < utc_day(now_us) - timedelta(days=1):
        rows.append(f"| newest | {newest or 'none stored'} |")
    failed = [
        f"| {source} | {cell(str(error))} |"
        for source, result in collected.results.items()
        for error in result.errors
    ]
    combined = [score for score in scores if score.source == SentimentSource.COMBINED]
    wrong = _not_of_parts(combined, scores)
    return [
        _result(FEAR_GREED_FRESH, rows, {"days": len(index)}, dg.AssetCheckSeverity.ERROR),
        _result(SOURCES_ANSWERED, failed, {"sources": len(collected.results)}, dg.AssetCheckSeverity.WARN),
        _result(COMBINED_OF_PARTS, wrong, {"combined": len(combined)}, dg.AssetCheckSeverity.ERROR),
    ]


def _not_of_parts(combined: Sequence[DayScore], scores: Sequence[DayScore]) -> list[str]:
    stored = {(score.day, score.source, score.base): score.score for score in scores}
    rows = []
    for score in combined:
        parts = parts_of(score.detail)
        if not parts or abs(score_of(parts) - (score.score or 0.0)) > 1e-6:
            rows.append(f"| {score.day} {score.base or 'market'} | is {score.score} |")
        for part in parts:
            now = stored.get((score.day, part.source, None if part.of_market else score.base))
            if now is None or abs(now - part.score) > 1e-6:
                rows.append(f"| {score.day} {score.base or 'market'} | {part.source} is {now} |")
    return rows


def _result(
    spec: dg.AssetCheckSpec, rows: Sequence[str], counts: Mapping[str, int], severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    problems = {"problems": dg.MetadataValue.md(table("| of | problem |", "|---|---|", rows))} if rows else {}
    return dg.AssetCheckResult(
        check_name=spec.name,
        asset_key=spec.asset_key,
        passed=not rows,
        severity=severity,
        metadata={**counts, "problem_count": len(rows), **problems},
    )
