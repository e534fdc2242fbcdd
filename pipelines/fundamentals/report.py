"""What an operator reads on a run of fundamentals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from coinwatch.errors import Retryable, SourceError
from pipelines.fundamentals.collect import Collected, Described
from pipelines.fundamentals.providers import Left

SHOWN = 20
"""Lines of a table; how many more there are is told."""
_SOON_S = 600.0
"""A failure that passes later than this is left to the next tick of the schedule."""

Metadata = Mapping[str, dg.MetadataValue]


def metrics_metadata(collected: Collected, requests: int, left: Iterable[Left]) -> Metadata:
    """Metadata of a materialisation of ``asset_metrics``, which took ``requests``."""
    undecided = [one for one in collected.decisions if one.asset_id is None]
    dropped = sum(told.dropped.total() for told in collected.told.values())
    metadata: dict[str, dg.MetadataValue] = {
        "rows_stored": dg.MetadataValue.int(sum(told.stored for told in collected.told.values())),
        "bases": dg.MetadataValue.int(len(collected.decisions)),
        "bases_undecided": dg.MetadataValue.int(len(undecided)),
        "bases_decided_anew": dg.MetadataValue.int(collected.changed),
        "coins_not_asked_for": dg.MetadataValue.int(collected.left_out),
        "assets_not_told": dg.MetadataValue.text(", ".join(collected.not_told)),
        "fields_dropped": dg.MetadataValue.int(dropped),
        "requests": dg.MetadataValue.int(requests),
        "by_source": dg.MetadataValue.md(_by_source(collected)),
        **_left(left),
    }
    if undecided:
        rows = [f"| {one.base} | {cell(one.reason)} |" for one in undecided]
        metadata["undecided"] = dg.MetadataValue.md(table("| base | why |", "|---|---|", rows))
    return metadata


def described_metadata(described: Described, requests: int, left: Iterable[Left]) -> Metadata:
    """Metadata of a materialisation of ``asset_metadata``, which took ``requests``."""
    listed = described.listed
    return {
        "coins_new": dg.MetadataValue.int(listed.new if listed else 0),
        "coins_changed": dg.MetadataValue.int(listed.changed if listed else 0),
        "coins_gone": dg.MetadataValue.int(listed.gone if listed else 0),
        "assets_asked": dg.MetadataValue.int(described.asked),
        "assets_described": dg.MetadataValue.int(described.described),
        "requests": dg.MetadataValue.int(requests),
        "errors": dg.MetadataValue.text("; ".join(map(str, described.errors))),
        **_left(left),
    }


def passes_soon(errors: Iterable[SourceError]) -> bool:
    """Whether to try again in a few minutes: a wrong key or a spent month does not get better by it."""
    return any(isinstance(error, Retryable) and (error.retry_after_s or 0.0) <= _SOON_S for error in errors)


def table(head: str, line: str, rows: Sequence[str]) -> str:
    """A Markdown table of the first rows, and how many more there are."""
    more = [f"\nand {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    return "\n".join([head, line, *rows[:SHOWN], *more])


def cell(text: str) -> str:
    """``text`` as a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _left(left: Iterable[Left]) -> dict[str, dg.MetadataValue]:
    return {f"{one.provider}_calls_left_this_month": dg.MetadataValue.int(one.left) for one in left}


def _by_source(collected: Collected) -> str:
    rows = []
    for source, told in collected.told.items():
        fields = ", ".join(f"{name}: {count}" for name, count in sorted(told.dropped.items()) if count)
        of = f" of {', '.join(told.dropped_of[:5])}" if told.dropped_of else ""
        more = f" and {len(told.dropped_of) - 5} more" if len(told.dropped_of) > 5 else ""
        errors = cell("; ".join(map(str, told.errors)))
        dropped = cell(f"{fields}{of}{more}")
        rows.append(f"| {source} | {told.stored} | {dropped} | {told.unreadable} | {errors} |")
    return table(
        "| source | assets | absurd, left out | unreadable | error |", "|---|---:|---|---:|---|", rows
    )
