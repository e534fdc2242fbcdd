"""The history of an asset's numbers: options of Apache ECharts."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log10
from typing import Any

from app.dashboard.fundamentals.view import MEASURES, PREFERRED, SOURCES
from app.dashboard.ui import echarts
from app.dashboard.ui.echarts_js import COMPACT, NUMBER, ROW, STAMP
from app.dashboard.ui.style import Palette
from coinwatch import formats
from warehouse.assets.reads import MetricPoint

FEW_POINTS = 3
"""With fewer points than this, each is drawn as a dot: a line would be invisible."""


def history_options(
    points: Sequence[MetricPoint], measure: str, palette: Palette, script: echarts.Script
) -> dict[str, Any] | None:
    """A line for each source of ``measure``, a key of ``MEASURES``; None when no source has it."""
    field = MEASURES[measure]
    lines: dict[str, list[list[float]]] = {}
    for point in points:
        value = getattr(point, field)
        if value is not None:
            lines.setdefault(point.source, []).append([point.ts_us // 1_000, value])
    if not lines:
        return None
    newest = max(values[-1][1] for values in lines.values())
    all_values = [value for values in lines.values() for _, value in values]
    spread = max(all_values) - min(all_values)
    # Enough digits that the labels of the axis differ.
    digits = min(9, max(4, ceil(log10(abs(newest) / spread)) + 2)) if spread and newest else 4
    is_rank = measure == "Rank"
    if measure == "Price":
        shown = f"{NUMBER} return number(value, {formats.price_decimals(newest)});"
    else:
        shown = f"{COMPACT} return compact(value, {digits});"
    show = f"(function (value) {{ {shown} }})"
    colours = dict(zip(PREFERRED, palette.overlays, strict=False))
    return echarts.base(palette) | {
        "legend": {"show": len(lines) > 1, "left": 6, "top": 0, "textStyle": {"color": palette.muted}},
        "grid": {"left": 10, "right": 74, "top": 30, "bottom": 30},
        "tooltip": echarts.tooltip(
            palette,
            script(
                f"function (items) {{ {STAMP} {ROW} const show = {show};"
                " return stamp(items[0].axisValue, false) + '<table>' +"
                " items.map(item => row(item.seriesName, show(item.value[1]), item.color)).join('') +"
                " '</table>'; }"
            ),
        ),
        "xAxis": echarts.time_axis(palette),
        "yAxis": echarts.value_axis(palette)
        | {
            "scale": True,
            "inverse": is_rank,
            "minInterval": 1 if is_rank else 0,
            "axisLabel": {"color": palette.muted, "formatter": script(show)},
        },
        "series": [
            echarts.line(
                source, SOURCES.get(source, source), colours.get(source, palette.accent), values, width=1.8
            )
            | {
                "symbol": "circle" if len(values) < FEW_POINTS else "none",
                "step": "end" if is_rank else False,
                "areaStyle": {"opacity": 0.08} if len(lines) == 1 and not is_rank else None,
            }
            for source, values in lines.items()
        ],
    }
