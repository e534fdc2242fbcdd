"""What an operator reads on a run of sentiment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from coinwatch.sentiment.scoring import MODEL, DayScore, Source, parts_of
from pipelines.fundamentals.report import cell, table
from pipelines.sentiment.collect import Collected
from pipelines.sentiment.texts import Outlet
from warehouse.sentiment.store import Mentioned

Metadata = Mapping[str, dg.MetadataValue]


def texts_metadata(
    outlets: Sequence[Outlet],
    rescored: int,
    newest: Iterable[Mentioned],
    off: Mapping[Source, str],
    requests: int,
) -> Metadata:
    """Metadata of a materialisation of ``news``, which scored ``rescored`` stored texts anew."""
    return {
        "texts_new": dg.MetadataValue.int(sum(outlet.stored.new for outlet in outlets)),
        "texts_changed": dg.MetadataValue.int(sum(outlet.stored.changed for outlet in outlets)),
        "texts_rescored": dg.MetadataValue.int(rescored),
        "copies_left_out": dg.MetadataValue.int(sum(outlet.stored.copies for outlet in outlets)),
        "unreadable": dg.MetadataValue.int(sum(outlet.unreadable for outlet in outlets)),
        "outlets": dg.MetadataValue.int(len(outlets)),
        "outlets_failed": dg.MetadataValue.int(sum(outlet.error is not None for outlet in outlets)),
        "requests": dg.MetadataValue.int(requests),
        "model": dg.MetadataValue.text(MODEL),
        "not_configured": dg.MetadataValue.text(_off(off)),
        "by_outlet": dg.MetadataValue.md(_by_outlet(outlets)),
        "newest": dg.MetadataValue.md(_newest(newest)),
    }


def scores_metadata(
    collected: Collected, today: Iterable[DayScore], off: Mapping[Source, str], requests: int
) -> Metadata:
    """Metadata of a materialisation of ``sentiment``, which took ``requests``."""
    told = collected.told.values()
    return {
        "scores_told": dg.MetadataValue.int(sum(one.days for one in told)),
        "scores_changed": dg.MetadataValue.int(sum(one.changed for one in told)),
        "combined": dg.MetadataValue.int(collected.combined),
        "dropped": dg.MetadataValue.int(sum(one.dropped for one in told)),
        "sources_failed": dg.MetadataValue.int(sum(bool(one.errors) for one in told)),
        "requests": dg.MetadataValue.int(requests),
        "not_configured": dg.MetadataValue.text(_off(off)),
        "by_source": dg.MetadataValue.md(_by_source(collected)),
        "combined_of_last_day": dg.MetadataValue.md(_combined(today)),
    }


def _off(off: Mapping[Source, str]) -> str:
    return "; ".join(f"{source} (set {names})" for source, names in off.items()) or "none"


def _by_outlet(outlets: Iterable[Outlet]) -> str:
    rows = []
    for outlet in outlets:
        counts = (outlet.read, outlet.stored.new, outlet.stored.copies, outlet.unreadable)
        state = "nothing new" if outlet.is_unchanged else "" if outlet.is_whole else "cut short or broken"
        state = str(outlet.error) if outlet.error else state
        rows.append(f"| {outlet.source} | {outlet.name} | {' | '.join(map(str, counts))} | {cell(state)} |")
    return table(
        "| source | outlet | read | new | copies | unreadable | error or state |",
        "|---|---|---:|---:|---:|---:|---|",
        rows,
    )


def _newest(texts: Iterable[Mentioned]) -> str:
    rows = [
        f"| {text.published_at:%Y-%m-%d %H:%M} | {text.score:+.2f} | {', '.join(text.bases)} "
        f"| {cell(text.outlet)} | [{_link_text(text.title)}]({text.url}) |"
        for text in texts
    ]
    return table("| published, UTC | score | assets | outlet | title |", "|---|---:|---|---|---|", rows)


def _by_source(collected: Collected) -> str:
    rows = []
    for source, told in collected.told.items():
        state = cell("; ".join(map(str, told.errors)) or told.not_asked)
        rows.append(f"| {source} | {told.days} | {told.changed} | {told.dropped} | {state} |")
    return table("| source | told | changed | dropped | error or state |", "|---|---:|---:|---:|---|", rows)


def _combined(scores: Iterable[DayScore]) -> str:
    rows = []
    for one in scores:
        if one.source == Source.COMBINED and one.score is not None:
            parts = ", ".join(
                f"{part.source} {part.score:+.2f} · {part.weight:.2f}" for part in parts_of(one.detail)
            )
            rows.append(f"| {one.base or 'market'} | {one.score:+.3f} | {one.items or ''} | {parts} |")
    return table("| of | score | texts | parts: score · weight |", "|---|---:|---:|---|", rows)


def _link_text(title: str) -> str:
    return cell(title).replace("[", "(").replace("]", ")")
