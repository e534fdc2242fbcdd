"""Dagster metadata of the runs of market data: counts, spans, and why a run did nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from coinwatch.records import Market
from coinwatch.times import to_datetime
from coinwatch.windows import Window
from pipelines.market_data.collection.collect import Fill
from pipelines.market_data.collection.lists import InstrumentList

SPANS_SHOWN = 3
MARKETS_SHOWN = 10

Metadata = Mapping[str, dg.MetadataValue]


def spell(window: Window) -> str:
    """Format as ``2026-03-01 00:00 to 12:00``, with a second date if it differs; UTC, to the minute."""
    start, end = to_datetime(window.start_us), to_datetime(window.end_us)
    same_day = start.date() == end.date()
    return f"{start:%Y-%m-%d %H:%M} to {end:{'%H:%M' if same_day else '%Y-%m-%d %H:%M'}}"


def spell_all(windows: Sequence[Window]) -> str:
    """Format the first spans, and the number of further ones."""
    shown = ", ".join(spell(window) for window in windows[:SPANS_SHOWN])
    more = len(windows) - SPANS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def fill_metadata(fill: Fill, requests: int) -> Metadata:
    """Metadata of a materialisation of candles, which took ``requests``."""
    pieces = [piece for market in fill.markets for piece in market.pieces]
    requested = [window for market in fill.markets for window in market.requested]
    unavailable = [span.window for market in fill.markets for span in market.unavailable]
    answered = sum(_slots([piece.window for piece in pieces], fill))
    metadata: dict[str, dg.MetadataValue] = {
        "window_utc": dg.MetadataValue.text(spell(fill.window)),
        "markets": dg.MetadataValue.int(len(fill.markets)),
        "markets_failed": dg.MetadataValue.int(sum(bool(market.errors) for market in fill.markets)),
        "ranges_requested": dg.MetadataValue.int(len(requested)),
        "candles_requested": dg.MetadataValue.int(sum(_slots(requested, fill))),
        "minutes_without_trades": dg.MetadataValue.int(answered - sum(piece.candles for piece in pieces)),
        "rows_inserted": dg.MetadataValue.int(sum(piece.stored.inserted for piece in pieces)),
        "rows_revised": dg.MetadataValue.int(sum(piece.stored.revised for piece in pieces)),
        "unavailable": dg.MetadataValue.int(sum(_slots(unavailable, fill))),
        "built_from_own_trades": dg.MetadataValue.int(sum(market.from_ticks for market in fill.markets)),
        "rows_withdrawn": dg.MetadataValue.int(sum(piece.stored.withdrawn for piece in pieces)),
        "requests": dg.MetadataValue.int(requests),
    }
    if requested:
        metadata["by_market"] = dg.MetadataValue.md(_by_market(fill))
    else:
        metadata["reason"] = dg.MetadataValue.text("Nothing to do: the window is covered for every market.")
    return metadata


def _slots(windows: Iterable[Window], fill: Fill) -> list[int]:
    return [window.length_us // fill.interval.us for window in windows]


def _by_market(fill: Fill) -> str:
    lines = [
        "| market | candles requested | inserted | revised | without trades | unavailable | still missing |",
        "|---|---:|---:|---:|---:|---|---|",
    ]
    for market in fill.markets:
        pieces = market.pieces
        empty = sum(_slots([piece.window for piece in pieces], fill)) - sum(p.candles for p in pieces)
        cells = (
            str(market.market),
            str(sum(_slots(market.requested, fill))),
            str(sum(piece.stored.inserted for piece in pieces)),
            str(sum(piece.stored.revised for piece in pieces)),
            str(empty),
            spell_all([span.window for span in market.unavailable]),
            spell_all(market.still_missing),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def failure(fill: Fill) -> str | None:
    """The markets and ranges that could not be fetched, with their errors; None when there are none."""
    lines = [
        f"{market.market}, {spell_all(market.still_missing)}: {'; '.join(dict.fromkeys(market.errors))}"
        for market in fill.markets
        if market.errors
    ]
    if not lines:
        return None
    return "\n".join([f"{len(lines)} of {len(fill.markets)} markets are incomplete:", *lines])


def lists_metadata(lists: Mapping[str, InstrumentList]) -> Metadata:
    """Metadata of a materialisation of the exchanges' instrument lists."""
    lines = [
        "| exchange | listed | inserted | changed | with volume | error or warning |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, result in lists.items():
        if result.error is not None:
            lines.append(f"| {name} | | | | | {_cell(result.error)} |")
            continue
        counts = (result.listed, result.changes.inserted, result.changes.changed, result.volumes)
        lines.append(f"| {name} | {' | '.join(map(str, counts))} | {_cell('; '.join(result.warnings))} |")
    changes = [result.changes for result in lists.values()]
    return {
        "exchanges": dg.MetadataValue.int(len(lists)),
        "exchanges_failed": dg.MetadataValue.int(sum(result.error is not None for result in lists.values())),
        "markets_listed": dg.MetadataValue.int(sum(result.listed for result in lists.values())),
        "markets_with_volume": dg.MetadataValue.int(sum(result.volumes for result in lists.values())),
        "rows_inserted": dg.MetadataValue.int(sum(change.inserted for change in changes)),
        "rows_changed": dg.MetadataValue.int(sum(change.changed for change in changes)),
        "new": dg.MetadataValue.text(_names(market for change in changes for market in change.new)),
        "back": dg.MetadataValue.text(_names(market for change in changes for market in change.back)),
        "delisted": dg.MetadataValue.text(_names(market for change in changes for market in change.delisted)),
        "by_exchange": dg.MetadataValue.md("\n".join(lines)),
    }


def _names(markets: Iterable[Market]) -> str:
    """Format the first names, and the number of further ones."""
    names = [str(market) for market in markets]
    more = len(names) - MARKETS_SHOWN
    shown = ", ".join(names[:MARKETS_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
