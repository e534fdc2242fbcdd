"""Sentiment over time: options of Apache ECharts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from app.dashboard.sentiment.view import NAMES
from app.dashboard.ui import echarts
from app.dashboard.ui.echarts_js import NUMBER, ROW
from app.dashboard.ui.fear_greed import EXTREME_GREED, LEVELS
from app.dashboard.ui.style import Palette
from coinwatch import formats
from coinwatch.records import Candle
from coinwatch.sentiment.scoring import SentimentSource
from coinwatch.times import day_start_us
from warehouse.sentiment.reads import DayOfSource

_TOOLTIP = """
function (items) {
  %(number)s %(row)s
  if (!items.length) return '';
  const day = new Date(items[0].axisValue).toLocaleDateString('en-GB',
    {weekday: 'short', day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC'});
  return '<b>' + day + '</b> <span style="opacity:.65">UTC</span><table style="font-variant-numeric:tabular-nums">' +
    items.filter(item => typeof item.value[1] === 'number').map(item => {
      const value = item.value[1];
      const shown = item.seriesId === 'price' ? number(value, %(decimals)d)
        : item.seriesId === 'fear' ? number(value, 0) : (value > 0 ? '+' : '') + number(value, 2);
      return row(item.seriesName, shown, item.color);
    }).join('') + '</table>';
}
"""  # noqa: E501 -- JavaScript


def score_options(
    days: Sequence[DayOfSource],
    market: Sequence[DayOfSource],
    prices: Sequence[Candle],
    name: str,
    palette: Palette,
    script: echarts.Script,
) -> dict[str, Any]:
    """Daily scores by source below the price, on a common time axis.

    Args:
        days: Scores of the asset.
        market: Scores of the whole market. Fear & Greed among them is drawn dashed: it is a part of the
            combined score.
        prices: Daily candles of the asset.
        name: The asset.
        palette: Colours.
        script: Marks a text as JavaScript.
    """
    lines: dict[str, list[list[float]]] = {}
    for row in (*days, *(row for row in market if row.source == SentimentSource.FEAR_GREED)):
        if row.score is not None:
            lines.setdefault(row.source, []).append([_ms(row.day), round(row.score, 4)])
    price = [[candle.open_ts_us // 1_000, candle.close] for candle in prices]
    decimals = formats.price_decimals(prices[-1].close) if prices else 2
    moments = [point[0] for points in lines.values() for point in points]
    first, last = min(moments, default=None), max(moments, default=None)
    price = [point for point in price if first is None or point[0] >= first]
    if price and last is not None:
        last = max(last, price[-1][0])
    axis = echarts.time_axis(palette) | {"min": first, "max": last, "splitLine": {"show": False}}
    value_axis = echarts.value_axis(palette) | {"axisLine": {"show": False}, "axisTick": {"show": False}}
    series = [
        echarts.line("price", f"{name} price", palette.text, price, width=1.8)
        | {"xAxisIndex": 0, "yAxisIndex": 0}
    ]
    for number, source in enumerate(source for source in NAMES if source.value in lines):
        is_combined = source is SentimentSource.COMBINED
        colour = palette.accent if is_combined else palette.exchanges[(number * 3) % len(palette.exchanges)]
        drawn = echarts.line(
            source.value, NAMES[source], colour, lines[source.value], width=2.8 if is_combined else 1.2
        )
        if source is SentimentSource.FEAR_GREED:
            drawn["lineStyle"] = {"width": 1.2, "type": "dashed"}
            drawn["name"] = f"{NAMES[source]} (whole market)"
        series.append(drawn | {"xAxisIndex": 1, "yAxisIndex": 1, "z": 5 if is_combined else 2})
    return echarts.base(palette) | {
        "legend": echarts.legend(palette, 0) | {"right": 10, "icon": "roundRect", "itemHeight": 3},
        "grid": [
            {"left": 10, "right": 74, "top": 36, "height": "34%"},
            {"left": 10, "right": 74, "top": "54%", "bottom": 30},
        ],
        "title": [echarts.title(palette, "Score, from -1 (negative) to 1 (positive)", "47%")],
        "axisPointer": {"link": [{"xAxisIndex": [0, 1]}], "lineStyle": {"color": palette.muted}},
        "tooltip": _tooltip(palette, script, decimals),
        "xAxis": [
            axis | {"gridIndex": 0, "axisLabel": {"show": False}},
            axis | {"gridIndex": 1},
        ],
        "yAxis": [
            value_axis | {"gridIndex": 0, "scale": True},
            value_axis | {"gridIndex": 1, "min": -1, "max": 1, "splitNumber": 4},
        ],
        "series": series,
    }


def fear_options(days: Sequence[DayOfSource], palette: Palette, script: echarts.Script) -> dict[str, Any]:
    """The history of the Fear & Greed index, coloured by level, above named bands."""
    values = [[_ms(row.day), row.value] for row in days if row.source == SentimentSource.FEAR_GREED]
    bounds = [0, *(limit for limit, _ in LEVELS), 101]
    tones = (palette.down, palette.hatch, palette.muted, palette.up, palette.up)
    names = [*(name for _, name in LEVELS), EXTREME_GREED]
    bands = [
        [
            {
                "yAxis": low,
                "name": name,
                "itemStyle": {"color": tone, "opacity": opacity},
                "label": {"color": palette.muted, "position": "insideTopLeft", "fontSize": 11},
            },
            {"yAxis": min(high, 100)},
        ]
        for low, high, name, tone, opacity in zip(
            bounds, bounds[1:], names, tones, (0.13, 0.1, 0.07, 0.07, 0.14), strict=False
        )
    ]
    return echarts.base(palette) | {
        "grid": {"left": 10, "right": 44, "top": 14, "bottom": 30},
        "tooltip": _tooltip(palette, script, 0),
        "visualMap": {
            "show": False,
            "dimension": 1,
            "pieces": [
                {"gte": low, "lt": high, "color": tone}
                for low, high, tone in zip(bounds, bounds[1:], tones, strict=False)
            ],
        },
        "xAxis": echarts.time_axis(palette),
        "yAxis": echarts.value_axis(palette)
        | {"min": 0, "max": 100, "interval": 25, "splitLine": {"show": False}},
        "series": [
            echarts.line("fear", "Fear & Greed", palette.text, values, width=2.0)
            | {"markArea": {"silent": True, "data": bands}}
        ],
    }


def _ms(day: date) -> int:
    return day_start_us(day) // 1_000


def _tooltip(palette: Palette, script: echarts.Script, decimals: int) -> dict[str, Any]:
    return echarts.tooltip(palette, script(_TOOLTIP % {"number": NUMBER, "row": ROW, "decimals": decimals}))
