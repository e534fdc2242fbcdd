"""What the Fundamentals page shows, built from rows. Pure: no Streamlit, no clock, no database."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pandas as pd
from pandas.io.formats.style import Styler

from app.dashboard import formats
from app.dashboard.scripts import COMPACT, NUMBER, ROW, STAMP
from app.dashboard.style import Palette
from coinwatch.times import DAY_US
from warehouse.reads_assets import AssetRow, MetricPoint, Metrics

PREFERRED = ("coingecko", "coinmarketcap", "defillama")
"""Whose word counts where several tell the same."""

RANGES = {"1w": 7 * DAY_US, "1mo": 30 * DAY_US, "3mo": 90 * DAY_US, "1y": 365 * DAY_US}
POINTS = 500
FEW_POINTS = 3
"""So few are drawn as dots: a line would not be seen."""

MEASURES = {
    "Market cap": "market_cap_usd",
    "Price": "price_usd",
    "Volume": "volume_24h_usd",
    "Value locked": "tvl_usd",
    "Rank": "rank",
}
"""What a history can be drawn of, and its field."""

_TOLD = ("asset_id", "source", "ts", "observed_at")


@dataclass(frozen=True)
class Asset:
    """An asset and the best of what sources say of it."""

    row: AssetRow
    best: Metrics | None
    """Each number from the first source that tells it; None: nobody tells anything."""
    by_source: tuple[Metrics, ...]


def join(rows: Iterable[AssetRow], metrics: Iterable[Metrics]) -> tuple[Asset, ...]:
    """Each asset with its metrics, by rank; those without one by name at the end."""
    told: dict[str, list[Metrics]] = {}
    for one in metrics:
        told.setdefault(one.asset_id, []).append(one)
    found = []
    for row in rows:
        several = sorted(told.get(row.id, ()), key=_preference)
        found.append(Asset(row, _best(several), tuple(several)))
    return tuple(sorted(found, key=_rank))


def categories(found: Iterable[Asset]) -> list[str]:
    """Every category there is, those of most assets first."""
    counts: dict[str, int] = {}
    for asset in found:
        for name in asset.row.categories:
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name))


def chosen(
    found: Iterable[Asset], category: str | None, *, ours: bool, search: str = ""
) -> tuple[Asset, ...]:
    """Those of a category, of our markets only, whose name or ticker has ``search`` in it."""
    words = search.strip().lower()
    return tuple(
        asset
        for asset in found
        if (category is None or category in asset.row.categories)
        and (not ours or asset.row.bases)
        and words in f"{asset.row.name} {asset.row.symbol} {asset.row.id}".lower()
    )


COLUMNS = {
    "Price": "price_usd",
    "24 h": "change_24h",
    "7 d": "change_7d",
    "30 d": "change_30d",
    "Market cap": "market_cap_usd",
    "Volume 24 h": "volume_24h_usd",
    "Circulating": "circulating_supply",
    "Max supply": "max_supply",
    "From ATH": "",
    "Value locked": "tvl_usd",
}


def table(found: Sequence[Asset]) -> pd.DataFrame:
    """A row for each asset; numbers as numbers, so that sorting goes by them."""
    frame = pd.DataFrame(
        {
            "Rank": pd.array([one.best.rank if one.best else None for one in found], dtype="Int64"),
            "Asset": [one.row.name for one in found],
            "Ticker": [one.row.symbol.upper() for one in found],
            **{
                title: pd.Series(
                    [getattr(one.best, field) if one.best and field else None for one in found],
                    dtype="float64",
                )
                for title, field in COLUMNS.items()
            },
            "Markets": [", ".join(one.row.bases) for one in found],
        }
    )
    frame["From ATH"] = pd.Series([from_ath(one.best) for one in found], dtype="float64")
    return frame


def styled(frame: pd.DataFrame, palette: Palette) -> Styler:
    """``frame`` as people read it."""

    def colour(value: object) -> str:
        change = value if isinstance(value, float) and value == value else 0.0
        if round(change, 4) == 0:
            return f"color: {palette.muted}"
        return f"color: {palette.up if change > 0 else palette.down}"

    changes: list[Hashable] = ["24 h", "7 d", "30 d"]
    amounts = ["Market cap", "Volume 24 h", "Circulating", "Max supply", "Value locked"]
    readable: dict[Any, str | Callable[[object], str] | None] = {
        "Price": _cell(formats.price),
        **{name: _cell(formats.percent) for name in (*changes, "From ATH")},
        **{name: _cell(formats.compact) for name in amounts},
    }
    return frame.style.format(readable).map(colour, subset=changes)


def from_ath(best: Metrics | None) -> float | None:
    """How far the price is from its all-time high, 0 or below; None where one is not known."""
    if best is None or not best.price_usd or not best.ath_usd:
        return None
    return min(0.0, best.price_usd / best.ath_usd - 1)


def links(told: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """Kind and address of what may be linked: only http and https, the first two of a kind."""
    found = []
    for kind, addresses in told.items():
        for address in list(addresses)[:2]:
            try:
                parts = urlsplit(address)
            except ValueError:
                continue
            if parts.scheme in ("http", "https") and parts.hostname:
                found.append((kind.replace("_", " "), address))
    return tuple(found)


def step_us(range_us: int) -> int:
    """Of a history, for at most about ``POINTS`` steps; never under the hour metrics are told in."""
    hour_us = DAY_US // 24
    return max(1, -(-range_us // (POINTS * hour_us))) * hour_us


def history_options(
    points: Sequence[MetricPoint], measure: str, palette: Palette, script: Callable[[str], object]
) -> dict[str, Any] | None:
    """A line for each source that tells ``measure``; None when nobody does."""
    field = MEASURES[measure]
    lines: dict[str, list[list[float]]] = {}
    for point in points:
        value = getattr(point, field)
        if value is not None:
            lines.setdefault(point.source, []).append([point.ts_us // 1_000, value])
    if not lines:
        return None
    newest = max(values[-1][1] for values in lines.values())
    is_rank = measure == "Rank"
    if measure == "Price":
        shown = f"{NUMBER} return number(value, {formats.price_decimals(newest)});"
    else:
        shown = f"{COMPACT} return compact(value, 4);"
    show = f"(function (value) {{ {shown} }})"
    colours = dict(zip(PREFERRED, palette.overlays, strict=False))
    return {
        "animation": False,
        "textStyle": {"color": palette.muted, "fontFamily": "inherit"},
        "legend": {"show": len(lines) > 1, "left": 6, "top": 0, "textStyle": {"color": palette.muted}},
        "grid": {"left": 10, "right": 74, "top": 30, "bottom": 30},
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "transitionDuration": 0,
            "backgroundColor": palette.surface,
            "borderColor": palette.line,
            "textStyle": {"color": palette.text, "fontSize": 12},
            "formatter": script(
                f"function (items) {{ {STAMP} {ROW} const show = {show};"
                " return stamp(items[0].axisValue, false) + '<table>' +"
                " items.map(item => row(item.seriesName, show(item.value[1]), item.color)).join('') +"
                " '</table>'; }"
            ),
        },
        "xAxis": {
            "type": "time",
            "axisLine": {"lineStyle": {"color": palette.line}},
            "axisTick": {"show": False},
            "axisLabel": {"color": palette.muted, "hideOverlap": True},
        },
        "yAxis": {
            "position": "right",
            "scale": True,
            "inverse": is_rank,
            "minInterval": 1 if is_rank else 0,
            "axisLabel": {"color": palette.muted, "formatter": script(show)},
            "splitLine": {"lineStyle": {"color": palette.line}},
        },
        "series": [
            {
                "id": source,
                "name": source,
                "type": "line",
                "symbol": "circle" if len(values) < FEW_POINTS else "none",
                "step": "end" if is_rank else False,
                "lineStyle": {"width": 1.8},
                "itemStyle": {"color": colours.get(source, palette.accent)},
                "areaStyle": {"opacity": 0.08} if len(lines) == 1 and not is_rank else None,
                "data": values,
            }
            for source, values in lines.items()
        ],
    }


def _best(several: Sequence[Metrics]) -> Metrics | None:
    """The first source's words, completed by the others'."""
    if not several:
        return None
    numbers = [name for name in Metrics.__struct_fields__ if name not in _TOLD]
    known = {
        name: next((value for one in several if (value := getattr(one, name)) is not None), None)
        for name in numbers
    }
    first = several[0]
    return msgspec.structs.replace(first, **known)


def _preference(metrics: Metrics) -> int:
    return PREFERRED.index(metrics.source) if metrics.source in PREFERRED else len(PREFERRED)


def _rank(asset: Asset) -> tuple[int, str]:
    rank = asset.best.rank if asset.best else None
    return (rank if rank is not None else 1_000_000, asset.row.name.lower())


def _cell(show: Callable[[float], str]) -> Callable[[object], str]:
    return lambda value: show(value) if isinstance(value, float) else formats.UNKNOWN
