"""Dagster metadata of the runs of fundamentals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from coinwatch.errors import Retryable, SourceError
from pipelines.fundamentals.collect import Collected, Described
from pipelines.fundamentals.providers import CallsLeft

SHOWN = 20
"""The most rows of a table; the number of further rows is added below."""
_SOON_S = 600.0
"""A failure that may last longer than this is left to the next run of the schedule."""

Metadata = Mapping[str, dg.MetadataValue]


def metrics_metadata(collected: Collected, requests: int, left: Iterable[CallsLeft]) -> Metadata:
    """Metadata of a materialisation of ``asset_metrics``, which took ``requests``."""
    undecided = [decision for decision in collected.decisions if decision.asset_id is None]
    dropped = sum(result.dropped.total() for result in collected.results.values())
    metadata: dict[str, dg.MetadataValue] = {
        "rows_stored": dg.MetadataValue.int(sum(result.stored for result in collected.results.values())),
        "bases": dg.MetadataValue.int(len(collected.decisions)),
        "bases_undecided": dg.MetadataValue.int(len(undecided)),
        "bases_changed": dg.MetadataValue.int(collected.changed),
        "coins_not_requested": dg.MetadataValue.int(collected.not_requested),
        "assets_without_metrics": dg.MetadataValue.text(", ".join(collected.without_metrics)),
        "fields_dropped": dg.MetadataValue.int(dropped),
        "requests": dg.MetadataValue.int(requests),
        "by_source": dg.MetadataValue.md(_by_source(collected)),
        **_left(left),
    }
    if undecided:
        rows = [f"| {decision.base} | {cell(decision.reason)} |" for decision in undecided]
        metadata["undecided"] = dg.MetadataValue.md(table("| base | reason |", "|---|---|", rows))
    return metadata


def described_metadata(described: Described, requests: int, left: Iterable[CallsLeft]) -> Metadata:
    """Metadata of a materialisation of ``asset_metadata``, which took ``requests``."""
    listed = described.listed
    return {
        "coins_new": dg.MetadataValue.int(listed.new if listed else 0),
        "coins_changed": dg.MetadataValue.int(listed.changed if listed else 0),
        "coins_gone": dg.MetadataValue.int(listed.gone if listed else 0),
        "assets_requested": dg.MetadataValue.int(described.requested),
        "assets_described": dg.MetadataValue.int(described.described),
        "requests": dg.MetadataValue.int(requests),
        "errors": dg.MetadataValue.text("; ".join(map(str, described.errors))),
        **_left(left),
    }


def passes_soon(errors: Iterable[SourceError]) -> bool:
    """Whether a retry in a few minutes can help, unlike with a wrong key or a spent monthly limit."""
    return any(isinstance(error, Retryable) and (error.retry_after_s or 0.0) <= _SOON_S for error in errors)


def table(head: str, line: str, rows: Sequence[str]) -> str:
    """A Markdown table of the first rows, and the number of further ones."""
    more = [f"\nand {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    return "\n".join([head, line, *rows[:SHOWN], *more])


def cell(text: str) -> str:
    """Escape ``text`` for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _left(left: Iterable[CallsLeft]) -> dict[str, dg.MetadataValue]:
    return {f"{entry.provider}_calls_left_this_month": dg.MetadataValue.int(entry.left) for entry in left}


def _by_source(collected: Collected) -> str:
    rows = []
    for source, result in collected.results.items():
        fields = ", ".join(f"{name}: {count}" for name, count in sorted(result.dropped.items()) if count)
        of = f" of {', '.join(result.dropped_of[:5])}" if result.dropped_of else ""
        more = f" and {len(result.dropped_of) - 5} more" if len(result.dropped_of) > 5 else ""
        errors = cell("; ".join(map(str, result.errors)))
        dropped = cell(f"{fields}{of}{more}")
        rows.append(f"| {source} | {result.stored} | {dropped} | {result.unreadable} | {errors} |")
    head = "| source | assets | implausible values | unreadable | error |"
    return table(head, "|---|---:|---|---:|---|", rows)
