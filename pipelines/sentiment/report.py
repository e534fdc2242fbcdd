"""Dagster metadata of the runs of sentiment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from coinwatch.sentiment.scoring import MODEL, DayScore, SentimentSource, parts_of
from pipelines.fundamentals.report import cell, table
from pipelines.sentiment.collect import Collected
from pipelines.sentiment.texts import FeedResult
from warehouse.sentiment.store import Mentioned

Metadata = Mapping[str, dg.MetadataValue]


def texts_metadata(
    results: Sequence[FeedResult],
    rescored: int,
    newest: Iterable[Mentioned],
    off: Mapping[SentimentSource, str],
    requests: int,
) -> Metadata:
    """Metadata of a materialisation of ``news``, which scored ``rescored`` stored texts again."""
    return {
        "texts_new": dg.MetadataValue.int(sum(result.stored.new for result in results)),
        "texts_changed": dg.MetadataValue.int(sum(result.stored.changed for result in results)),
        "texts_rescored": dg.MetadataValue.int(rescored),
        "copies_left_out": dg.MetadataValue.int(sum(result.stored.copies for result in results)),
        "unreadable": dg.MetadataValue.int(sum(result.unreadable for result in results)),
        "feeds": dg.MetadataValue.int(len(results)),
        "feeds_failed": dg.MetadataValue.int(sum(result.error is not None for result in results)),
        "requests": dg.MetadataValue.int(requests),
        "model": dg.MetadataValue.text(MODEL),
        "not_configured": dg.MetadataValue.text(_off(off)),
        "by_feed": dg.MetadataValue.md(_by_feed(results)),
        "newest": dg.MetadataValue.md(_newest(newest)),
    }


def scores_metadata(
    collected: Collected, today: Iterable[DayScore], off: Mapping[SentimentSource, str], requests: int
) -> Metadata:
    """Metadata of a materialisation of ``sentiment``, which took ``requests``."""
    results = collected.results.values()
    return {
        "scores_received": dg.MetadataValue.int(sum(result.days for result in results)),
        "scores_changed": dg.MetadataValue.int(sum(result.changed for result in results)),
        "combined": dg.MetadataValue.int(collected.combined),
        "dropped": dg.MetadataValue.int(sum(result.dropped for result in results)),
        "sources_failed": dg.MetadataValue.int(sum(bool(result.errors) for result in results)),
        "requests": dg.MetadataValue.int(requests),
        "not_configured": dg.MetadataValue.text(_off(off)),
        "by_source": dg.MetadataValue.md(_by_source(collected)),
        "combined_of_last_day": dg.MetadataValue.md(_combined(today)),
    }


def _off(off: Mapping[SentimentSource, str]) -> str:
    return "; ".join(f"{source} (set {names})" for source, names in off.items()) or "none"


def _by_feed(results: Iterable[FeedResult]) -> str:
    rows = []
    for result in results:
        counts = (result.read, result.stored.new, result.stored.copies, result.unreadable)
        state = "unchanged" if result.is_unchanged else "" if result.is_whole else "truncated or broken"
        state = str(result.error) if result.error else state
        rows.append(f"| {result.source} | {result.name} | {' | '.join(map(str, counts))} | {cell(state)} |")
    return table(
        "| source | feed | read | new | copies | unreadable | error or state |",
        "|---|---|---:|---:|---:|---:|---|",
        rows,
    )


def _newest(texts: Iterable[Mentioned]) -> str:
    rows = [
        f"| {text.published_at:%Y-%m-%d %H:%M} | {text.score:+.2f} | {', '.join(text.bases)} "
        f"| {cell(text.outlet)} | [{_link_text(text.title)}]({text.url}) |"
        for text in texts
    ]
    return table("| published, UTC | score | assets | feed | title |", "|---|---:|---|---|---|", rows)


def _by_source(collected: Collected) -> str:
    rows = []
    for source, result in collected.results.items():
        state = cell("; ".join(map(str, result.errors)) or result.skipped)
        rows.append(f"| {source} | {result.days} | {result.changed} | {result.dropped} | {state} |")
    return table(
        "| source | received | changed | dropped | error or state |", "|---|---:|---:|---:|---|", rows
    )


def _combined(scores: Iterable[DayScore]) -> str:
    rows = []
    for score in scores:
        if score.source == SentimentSource.COMBINED and score.score is not None:
            parts = ", ".join(
                f"{part.source} {part.score:+.2f} · {part.weight:.2f}" for part in parts_of(score.detail)
            )
            rows.append(f"| {score.base or 'market'} | {score.score:+.3f} | {score.items or ''} | {parts} |")
    return table("| asset | score | texts | parts: score · weight |", "|---|---:|---:|---|", rows)


def _link_text(title: str) -> str:
    return cell(title).replace("[", "(").replace("]", ")")
