"""What an operator reads on a run: counts, spans, and the reason when nothing was done."""

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
    """``2026-03-01 00:00 to 12:00``, or with both days; UTC, to the minute."""
    start, end = to_datetime(window.start_us), to_datetime(window.end_us)
    same_day = start.date() == end.date()
    return f"{start:%Y-%m-%d %H:%M} to {end:{'%H:%M' if same_day else '%Y-%m-%d %H:%M'}}"


def spell_all(windows: Sequence[Window]) -> str:
    """The first few spans, and how many more."""
    shown = ", ".join(spell(window) for window in windows[:SPANS_SHOWN])
    more = len(windows) - SPANS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def fill_metadata(fill: Fill, requests: int) -> Metadata:
    """Metadata of a materialisation of candles, which took ``requests``."""
    pieces = [piece for market in fill.markets for piece in market.pieces]
    asked = [window for market in fill.markets for window in market.asked]
    gone = [one.window for market in fill.markets for one in market.gone]
    answered = sum(_slots([piece.window for piece in pieces], fill))
    metadata: dict[str, dg.MetadataValue] = {
        "window_utc": dg.MetadataValue.text(spell(fill.window)),
        "markets": dg.MetadataValue.int(len(fill.markets)),
        "markets_failed": dg.MetadataValue.int(sum(bool(market.errors) for market in fill.markets)),
        "ranges_asked": dg.MetadataValue.int(len(asked)),
        "candles_asked": dg.MetadataValue.int(sum(_slots(asked, fill))),
        "found_empty": dg.MetadataValue.int(answered - sum(piece.candles for piece in pieces)),
        "rows_inserted": dg.MetadataValue.int(sum(piece.stored.inserted for piece in pieces)),
        "rows_revised": dg.MetadataValue.int(sum(piece.stored.revised for piece in pieces)),
        "unavailable": dg.MetadataValue.int(sum(_slots(gone, fill))),
        "made_of_own_trades": dg.MetadataValue.int(sum(market.from_ticks for market in fill.markets)),
        "rows_withdrawn": dg.MetadataValue.int(sum(piece.stored.withdrawn for piece in pieces)),
        "requests": dg.MetadataValue.int(requests),
    }
    if asked:
        metadata["by_market"] = dg.MetadataValue.md(_by_market(fill))
    else:
        metadata["reason"] = dg.MetadataValue.text("Nothing to do: every market is covered over the window.")
    return metadata


def _slots(windows: Iterable[Window], fill: Fill) -> list[int]:
    return [window.length_us // fill.interval.us for window in windows]


def _by_market(fill: Fill) -> str:
    lines = [
        "| market | candles asked | inserted | revised | empty | unavailable | remains |",
        "|---|---:|---:|---:|---:|---|---|",
    ]
    for market in fill.markets:
        pieces = market.pieces
        empty = sum(_slots([piece.window for piece in pieces], fill)) - sum(p.candles for p in pieces)
        cells = (
            str(market.market),
            str(sum(_slots(market.asked, fill))),
            str(sum(piece.stored.inserted for piece in pieces)),
            str(sum(piece.stored.revised for piece in pieces)),
            str(empty),
            spell_all([one.window for one in market.gone]),
            spell_all(market.still_missing),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def failure(fill: Fill) -> str | None:
    """What could not be had: which market, which span, what its exchange said. None when all could."""
    lines = [
        f"{market.market}, {spell_all(market.still_missing)}: {'; '.join(dict.fromkeys(market.errors))}"
        for market in fill.markets
        if market.errors
    ]
    if not lines:
        return None
    return "\n".join([f"{len(lines)} of {len(fill.markets)} markets are not complete:", *lines])


def lists_metadata(lists: Mapping[str, InstrumentList]) -> Metadata:
    """Metadata of a materialisation of the exchanges' instrument lists."""
    lines = [
        "| exchange | listed | inserted | changed | with volume | error or warning |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, this in lists.items():
        if this.error is not None:
            lines.append(f"| {name} | | | | | {_cell(this.error)} |")
            continue
        counts = (this.listed, this.changes.inserted, this.changes.changed, this.volumes)
        lines.append(f"| {name} | {' | '.join(map(str, counts))} | {_cell('; '.join(this.warnings))} |")
    changes = [this.changes for this in lists.values()]
    return {
        "exchanges": dg.MetadataValue.int(len(lists)),
        "exchanges_failed": dg.MetadataValue.int(sum(this.error is not None for this in lists.values())),
        "markets_listed": dg.MetadataValue.int(sum(this.listed for this in lists.values())),
        "markets_with_volume": dg.MetadataValue.int(sum(this.volumes for this in lists.values())),
        "rows_inserted": dg.MetadataValue.int(sum(change.inserted for change in changes)),
        "rows_changed": dg.MetadataValue.int(sum(change.changed for change in changes)),
        "new": dg.MetadataValue.text(_names(market for change in changes for market in change.new)),
        "back": dg.MetadataValue.text(_names(market for change in changes for market in change.back)),
        "delisted": dg.MetadataValue.text(_names(market for change in changes for market in change.delisted)),
        "by_exchange": dg.MetadataValue.md("\n".join(lines)),
    }


def _names(markets: Iterable[Market]) -> str:
    """The first few, and how many more."""
    names = [str(market) for market in markets]
    more = len(names) - MARKETS_SHOWN
    shown = ", ".join(names[:MARKETS_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
