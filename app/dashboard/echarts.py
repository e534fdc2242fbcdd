"""A chart view as options of Apache ECharts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.dashboard import formats
from app.dashboard.chart import ChartView, label
from app.dashboard.style import Palette
from coinwatch.intervals import Interval

_NUMBER = """
function number(value, decimals) {
  return value.toLocaleString('en-US', {minimumFractionDigits: decimals, maximumFractionDigits: decimals});
}
"""

_COMPACT = """
function compact(value) {
  const sizes = [[1e12, 'T'], [1e9, 'B'], [1e6, 'M'], [1e3, 'K']];
  for (const [size, name] of sizes) if (value >= size) return +(value / size).toFixed(1) + ' ' + name;
  return String(+value.toPrecision(3));
}
"""

# Hours within a day, the date at midnight.
_TIME_LABEL = """
function (value) {
  const months = ['Jan','Feb','Mar','Apr','May','Jun','Jul','Aug','Sep','Oct','Nov','Dec'];
  const date = +value.slice(8, 10) + ' ' + months[+value.slice(5, 7) - 1];
  return %s && value.slice(11) !== '00:00' ? value.slice(11) : date;
}
"""

_TOOLTIP = """
function (items) {
  %(number)s %(compact)s
  const decimals = %(decimals)d;
  const row = (name, value, colour) => '<tr><td style="padding-right:1em">' +
    (colour ? '<span style="color:' + colour + '">&#9632;</span> ' : '') + name +
    '</td><td style="text-align:right">' + value + '</td></tr>';
  let html = '', volume = null;
  for (const item of items) {
    if (item.seriesId === 'price' && item.value.length === 5 && isFinite(item.value[1])) {
      const [, open, close, low, high] = item.value;
      const change = (close / open - 1) * 100;
      html += row('Open', number(open, decimals)) + row('High', number(high, decimals)) +
        row('Low', number(low, decimals)) + row('Close', number(close, decimals)) +
        row('Change', (change > 0 ? '+' : '') + change.toFixed(2) + ' %%');
    } else if (item.seriesId.startsWith('volume')) {
      const amount = Array.isArray(item.value) ? item.value[1] : item.value;
      if (typeof amount === 'number') volume = amount;
    } else if (item.seriesId.startsWith('line') && typeof item.value === 'number') {
      html += row(item.seriesName, number(item.value, decimals), item.color);
    }
  }
  if (volume !== null) html += row('Volume', compact(volume));
  if (!items.length) return '';
  const empty = html ? '' : '<div>no trade</div>';
  return '<b>' + items[0].axisValue + ' UTC</b>' + empty +
    '<table style="font-variant-numeric:tabular-nums">' + html + '</table>';
}
"""

# Diagonal strokes over a span of buckets, whole height of the price pane.
_HATCH = """
function (params, api) {
  const half = api.size([1, 0])[0] / 2, box = params.coordSys;
  const left = Math.max(box.x, api.coord([api.value(0), 0])[0] - half);
  const right = Math.min(box.x + box.width, api.coord([api.value(1), 0])[0] + half);
  if (right <= left) return null;
  const children = [{type: 'rect', shape: {x: left, y: box.y, width: right - left, height: box.height},
    style: {fill: '%(colour)s', opacity: 0.08}}];
  for (let x = left - box.height; x < right; x += 9) {
    children.push({type: 'line', style: {stroke: '%(colour)s', lineWidth: 1, opacity: 0.45},
      shape: {x1: x, y1: box.y + box.height, x2: x + box.height, y2: box.y}});
  }
  return {type: 'group', silent: true, children: children,
    clipPath: {type: 'rect', shape: {x: left, y: box.y, width: right - left, height: box.height}}};
}
"""


def options(view: ChartView, palette: Palette, script: Callable[[str], object]) -> dict[str, Any]:
    """Everything ECharts needs to draw ``view``; ``script`` marks a text as JavaScript to run.

    Zoom is left to the browser: no start or end is given, so an update by merge keeps it.
    """
    last = view.last
    decimals = formats.price_decimals(last.close) if last else 2
    axis: dict[str, Any] = {
        "type": "category",
        "data": [label(open_us) for open_us in view.opens_us],
        "boundaryGap": True,
        "axisLine": {"lineStyle": {"color": palette.line}},
        "axisTick": {"show": False},
        "axisPointer": {"label": {"show": False}},
    }
    time_label = script(_TIME_LABEL % ("true" if view.interval is not Interval.D1 else "false"))
    value_axis: dict[str, Any] = {
        "position": "right",
        "scale": True,
        "axisLine": {"show": False},
        "axisTick": {"show": False},
        "splitLine": {"lineStyle": {"color": palette.line}},
    }
    return {
        "animation": False,
        "textStyle": {"color": palette.muted, "fontFamily": "inherit"},
        "grid": [
            {"id": "price", "left": 10, "right": 74, "top": 34, "bottom": 150},
            {"id": "volume", "left": 10, "right": 74, "height": 62, "bottom": 62},
        ],
        "legend": {
            "show": bool(view.lines),
            "left": 6,
            "top": 2,
            "icon": "roundRect",
            "itemHeight": 3,
            "itemWidth": 16,
            "textStyle": {"color": palette.muted},
            "data": [line.name for line in view.lines],
        },
        "axisPointer": {"link": [{"xAxisIndex": [0, 1]}], "lineStyle": {"color": palette.muted}},
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "transitionDuration": 0,
            "axisPointer": {"type": "cross", "crossStyle": {"color": palette.muted}},
            "backgroundColor": palette.surface,
            "borderColor": palette.line,
            "textStyle": {"color": palette.text, "fontSize": 12},
            "formatter": script(
                _TOOLTIP % {"number": _NUMBER, "compact": _COMPACT, "decimals": decimals},
            ),
        },
        "xAxis": [
            axis | {"gridIndex": 0, "axisLabel": {"show": False}, "splitLine": {"show": False}},
            axis
            | {
                "gridIndex": 1,
                "axisLabel": {"color": palette.muted, "formatter": time_label, "hideOverlap": True},
            },
        ],
        "yAxis": [
            value_axis
            | {
                "gridIndex": 0,
                "axisLabel": {
                    "color": palette.muted,
                    "formatter": script(
                        f"function (value) {{ {_NUMBER} return number(value, {decimals}); }}"
                    ),
                },
                "axisPointer": {
                    "label": {
                        "formatter": script(
                            f"function (at) {{ {_NUMBER} return number(at.value, {decimals}); }}"
                        )
                    }
                },
            },
            value_axis
            | {
                "gridIndex": 1,
                "splitNumber": 2,
                "min": 0,
                "splitLine": {"show": False},
                "axisLabel": {
                    "color": palette.muted,
                    "showMinLabel": False,
                    "formatter": script(f"function (value) {{ {_COMPACT} return compact(value); }}"),
                },
                "axisPointer": {"label": {"show": False}},
            },
        ],
        "dataZoom": [
            {
                "type": "inside",
                "xAxisIndex": [0, 1],
                "filterMode": "weakFilter",
                "minValueSpan": 10,
                "preventDefaultMouseMove": False,
            },
            {
                "type": "slider",
                "xAxisIndex": [0, 1],
                "filterMode": "weakFilter",
                "minValueSpan": 10,
                "bottom": 8,
                "left": 12,
                "right": 76,
                "height": 24,
                "showDetail": False,
                "borderColor": palette.line,
                "textStyle": {"color": palette.muted},
            },
        ],
        "series": _series(view, palette, decimals, script),
    }


def _series(
    view: ChartView, palette: Palette, decimals: int, script: Callable[[str], object]
) -> list[dict[str, Any]]:
    last = view.last
    price: dict[str, Any] = {
        "id": "price",
        "name": "Price",
        "type": "candlestick",
        "data": ["-" if one is None else [one.open, one.close, one.low, one.high] for one in view.candles],
        "itemStyle": {
            "color": palette.up,
            "color0": palette.down,
            "borderColor": palette.up,
            "borderColor0": palette.down,
        },
    }
    if last is not None:
        colour = palette.up if last.close >= last.open else palette.down
        price["markLine"] = {
            "symbol": "none",
            "silent": True,
            "animation": False,
            "data": [{"yAxis": last.close}],
            "lineStyle": {"color": colour, "type": "dashed", "width": 1},
            "label": {
                "position": "end",
                "distance": 4,
                "formatter": formats.price(last.close),
                "color": palette.surface,
                "backgroundColor": colour,
                "padding": [3, 4],
                "borderRadius": 3,
                "fontSize": 11,
            },
        }
    series = [price]
    for name, rising, colour in (("volume-up", True, palette.up), ("volume-down", False, palette.down)):
        series.append(
            {
                "id": name,
                "name": "Volume",
                "type": "bar",
                "stack": "volume",
                "xAxisIndex": 1,
                "yAxisIndex": 1,
                "itemStyle": {"color": colour, "opacity": 0.55},
                "data": [
                    _digits(one.volume) if one is not None and (one.close >= one.open) is rising else "-"
                    for one in view.candles
                ],
            }
        )
    for number, line in enumerate(view.lines):
        colour = palette.overlays[number % len(palette.overlays)]
        series.append(
            {
                "id": f"line-{number}",
                "name": line.name,
                "type": "line",
                "symbol": "none",
                "connectNulls": True,
                "lineStyle": {"width": 1.5, "color": colour},
                "itemStyle": {"color": colour},
                "data": ["-" if value is None else round(value, decimals + 1) for value in line.values],
            }
        )
    series.append(
        {
            "id": "missing",
            "name": "Missing",
            "type": "custom",
            "renderItem": script(_HATCH % {"colour": palette.hatch}),
            "encode": {"x": [0, 1], "tooltip": []},
            "tooltip": {"show": False},
            "silent": True,
            "z": 1,
            "data": [list(span) for span in view.missing],
        }
    )
    return series


def _digits(value: float) -> float:
    """Six digits are more than a bar can show, and keep updates small."""
    return float(f"{value:.6g}")
