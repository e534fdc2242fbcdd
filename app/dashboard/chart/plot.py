"""Candles with their indicators, as options of Apache ECharts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.dashboard.chart.plot_js import DASH, HATCH, TIME_LABEL, TOOLTIP
from app.dashboard.chart.view import ChartView
from app.dashboard.ui import echarts
from app.dashboard.ui.echarts_js import COMPACT, NUMBER, ROW, STAMP, STROKES
from app.dashboard.ui.indicators import Line
from app.dashboard.ui.style import Palette
from coinwatch import formats
from coinwatch.intervals import Interval

TOP_PX = 34
PRICE_PX = 372
VOLUME_PX = 64
PANE_PX = 96
BETWEEN_PX = 22
FOOT_PX = 62

PICK = """
function (params) {
  const at = [params.offsetX, params.offsetY];
  if (!chart.containPixel({gridIndex: 0}, at)) return;
  return {price: chart.convertFromPixel({yAxisIndex: 0}, params.offsetY), clicked: Date.now()};
}
"""
"""Returns the price of a click. ``clicked`` makes each click a new event."""

CLOSER = """
function (params) {
  const at = [params.offsetX, params.offsetY];
  if (!chart.containPixel({gridIndex: 0}, at)) return;
  const {xAxis, dataZoom} = chart.getOption(), opens = xAxis[0].data;
  const open = place => +opens[Math.max(0, Math.min(opens.length - 1, Math.round(place)))];
  return {
    at_ms: open(chart.convertFromPixel({xAxisIndex: 0}, params.offsetX)),
    from_ms: open(dataZoom[0].startValue),
    until_ms: open(dataZoom[0].endValue),
    clicked: Date.now(),
  };
}
"""
"""Returns the moment of a double click and the visible span, as open times of candles."""

_BOUNDS = {"RSI": (0, 100)}
_MARKS = {"RSI": (30, 70), "MACD": (0,)}


@dataclass(frozen=True)
class Level:
    """The price of an armed alert."""

    price: float
    words: str


def height_px(view: ChartView) -> int:
    """The height of the chart with all its panes."""
    return _offsets(view)[-1][1] + FOOT_PX


def options(
    view: ChartView, palette: Palette, script: echarts.Script, *, levels: Sequence[Level] = ()
) -> dict[str, Any]:
    """The options of ECharts that draw ``view``; ``script`` marks a text as JavaScript.

    Zoom is left to the browser: no start or end is given, so an update by merge keeps it.
    """
    last = view.last
    decimals = formats.price_decimals(last.close) if last else 2
    offsets = _offsets(view)
    everything = list(range(len(offsets)))
    intraday = "true" if view.interval is not Interval.D1 else "false"
    axis: dict[str, Any] = {
        "type": "category",
        "data": [str(open_us // 1_000) for open_us in view.opens_us],
        "boundaryGap": True,
        "axisLine": {"lineStyle": {"color": palette.line}},
        "axisTick": {"show": False},
        "splitLine": {"show": False},
        "axisPointer": {"label": {"show": False}},
        "axisLabel": {"show": False},
    }
    axes = [axis | {"gridIndex": number} for number in everything]
    axes[-1]["axisLabel"] = {
        "color": palette.muted,
        "formatter": script(TIME_LABEL % intraday),
        "hideOverlap": True,
    }
    return echarts.base(palette, describe(view, levels)) | {
        "grid": [
            {"left": 10, "right": echarts.RIGHT_PX, "top": top, "height": bottom - top}
            for top, bottom in offsets
        ],
        "title": [
            echarts.title(palette, name, offsets[number][0] - BETWEEN_PX + 3)
            for number, name in enumerate(["", _volume(view), *panes(view)])
            if name
        ],
        "legend": echarts.legend(palette, 2)
        | {"show": bool(view.lines), "data": [line.name for line in view.lines]},
        "axisPointer": {"link": [{"xAxisIndex": everything}], "lineStyle": {"color": palette.muted}},
        "tooltip": echarts.tooltip(
            palette,
            script(
                TOOLTIP
                % {"number": NUMBER, "compact": COMPACT, "row": ROW, "stamp": STAMP, "decimals": decimals}
            ),
        )
        | {"axisPointer": {"type": "cross", "crossStyle": {"color": palette.muted}}},
        "xAxis": axes,
        "yAxis": _value_axes(view, palette, decimals, script),
        "dataZoom": [
            zoom | {"xAxisIndex": everything, "minValueSpan": 10} for zoom in echarts.zooms(palette)
        ],
        "series": _series(view, palette, decimals, script, levels),
    }


def describe(view: ChartView, levels: Sequence[Level] = ()) -> str:
    """The chart as a sentence, for screen readers."""
    last, low, high = view.last, view.low, view.high
    if last is None or low is None or high is None:
        return f"No candles of {view.interval}."
    traded = sum(candle is not None for candle in view.candles)
    begin, end = formats.moment(view.opens_us[0]), formats.moment(view.opens_us[-1] + view.interval.us)
    words = [
        f"{traded:,} candles of {view.interval} from {begin} to {end}",
        f"between {formats.price(low)} and {formats.price(high)}, the last at {formats.price(last.close)}",
        *(f"{line.name} at {formats.price(line.last)}" for line in view.lines if line.last is not None),
        *(level.words for level in levels),
    ]
    if view.missing:
        words.append(f"missing ranges: {len(view.missing)}")
    return "; ".join(words) + "."


def outside(view: ChartView, levels: Sequence[Level]) -> tuple[Level, ...]:
    """The ``levels`` outside the range of prices of ``view``, which the chart does not show."""
    low, high = view.low, view.high
    if low is None or high is None:
        return tuple(levels)
    return tuple(level for level in levels if not low <= level.price <= high)


def panes(view: ChartView) -> tuple[str, ...]:
    """The indicators below the prices, in order."""
    return tuple(dict.fromkeys(line.pane for line in view.lines if line.pane))


def _volume(view: ChartView) -> str:
    return f"Volume, {view.last.market.symbol.base}" if view.last else "Volume"


def _offsets(view: ChartView) -> list[tuple[int, int]]:
    """Top and bottom of each pane: prices, volume, indicators."""
    top = TOP_PX
    offsets = []
    for height in (PRICE_PX, VOLUME_PX, *(PANE_PX for _ in panes(view))):
        offsets.append((top, top + height))
        top += height + BETWEEN_PX
    return offsets


def _value_axes(
    view: ChartView, palette: Palette, decimals: int, script: echarts.Script
) -> list[dict[str, Any]]:
    plain = script(f"function (value) {{ {NUMBER} return number(value, {decimals}); }}")
    small = script(
        f"function (value) {{ {COMPACT} return value < 0 ? '\\u2212' + compact(-value) : compact(value); }}"
    )
    base = echarts.value_axis(palette) | {
        "scale": True,
        "axisLine": {"show": False},
        "axisTick": {"show": False},
    }
    pointer = script(f"function (at) {{ {NUMBER} return number(at.value, {decimals}); }}")
    below = base | {
        "splitNumber": 2,
        "splitLine": {"show": False},
        "axisLabel": {"color": palette.muted, "showMinLabel": False, "formatter": small},
        "axisPointer": {"label": {"show": False}},
    }
    axes = [
        base
        | {
            "gridIndex": 0,
            "axisLabel": {"color": palette.muted, "formatter": plain},
            "axisPointer": {"label": {"formatter": pointer}},
        },
        below | {"gridIndex": 1, "min": 0},
    ]
    for number, pane in enumerate(panes(view)):
        kind = pane.split()[0]
        low, high = _BOUNDS.get(kind, (None, None))
        axes.append(below | {"gridIndex": number + 2, "min": low, "max": high})
    return axes


def _series(
    view: ChartView, palette: Palette, decimals: int, script: echarts.Script, levels: Sequence[Level]
) -> list[dict[str, Any]]:
    price: dict[str, Any] = {
        "id": "price",
        "name": "Price",
        "type": "candlestick",
        "data": [
            "-" if candle is None else [candle.open, candle.close, candle.low, candle.high]
            for candle in view.candles
        ],
        "itemStyle": {
            "color": palette.up,
            "color0": palette.down,
            "borderColor": palette.up,
            "borderColor0": palette.down,
        },
        "markLine": {
            "symbol": "none",
            "silent": True,
            "animation": False,
            # Of itself ECharts moves a line to the nearest hundredth.
            "precision": -1,
            "data": [*_last_price(view, palette), *(_level(level, palette) for level in levels)],
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
                    _digits(candle.volume)
                    if candle is not None and (candle.close >= candle.open) is rising
                    else "-"
                    for candle in view.candles
                ],
            }
        )
    places = {pane: number + 2 for number, pane in enumerate(panes(view))}
    marked: set[str] = set()
    colours = _colours(view.lines, palette)
    for number, line in enumerate(view.lines):
        colour = colours[number]
        drawn = _line(number, line, colour, decimals, places.get(line.pane, 0))
        if line.pane and line.pane not in marked:
            marked.add(line.pane)
            drawn["markLine"] = _marks(line.pane, palette)
        series.append(drawn)
    quiet: dict[str, Any] = {"type": "custom", "silent": True, "tooltip": {"show": False}, "z": 1}
    series.append(
        quiet
        | {
            "id": "quiet",
            "name": "No trade",
            "renderItem": script(DASH % {"colour": palette.muted}),
            "encode": {"x": 0, "y": 1, "tooltip": []},
            "data": [list(bucket) for bucket in view.quiet],
        }
    )
    series.append(
        quiet
        | {
            "id": "missing",
            "name": "Missing",
            "renderItem": script(HATCH % {"strokes": STROKES, "colour": palette.hatch}),
            "encode": {"x": [0, 1], "tooltip": []},
            "data": [list(span) for span in view.missing],
        }
    )
    return series


def _colours(lines: Sequence[Line], palette: Palette) -> list[str]:
    """Over the prices one colour an indicator, for a band has two edges; in a pane one a line."""
    names = dict.fromkeys(line.name if line.pane else line.indicator for line in lines)
    place_of = {name: place for place, name in enumerate(names)}
    return [
        palette.overlays[place_of[line.name if line.pane else line.indicator] % len(palette.overlays)]
        for line in lines
    ]


def _line(number: int, line: Line, colour: str, decimals: int, place: int) -> dict[str, Any]:
    digits = (lambda value: round(value, decimals + 1)) if not line.pane else _digits
    drawn: dict[str, Any] = {
        "id": f"line-{number}",
        "name": line.name,
        "type": "bar" if line.is_bars else "line",
        "xAxisIndex": place,
        "yAxisIndex": place,
        "itemStyle": {"color": colour, "opacity": 0.5 if line.is_bars else 1},
        "data": ["-" if value is None else digits(value) for value in line.values],
    }
    if not line.is_bars:
        kind = "dashed" if line.name.endswith(" middle") else "solid"
        stroke = {"width": 1.5, "color": colour, "type": kind}
        drawn |= {"symbol": "none", "connectNulls": True, "lineStyle": stroke}
    return drawn


def _marks(pane: str, palette: Palette) -> dict[str, Any]:
    return {
        "symbol": "none",
        "silent": True,
        "animation": False,
        "label": {"show": False},
        "lineStyle": {"color": palette.muted, "type": "dotted", "width": 1},
        "data": [{"yAxis": value} for value in _MARKS.get(pane.split()[0], ())],
    }


def _last_price(view: ChartView, palette: Palette) -> list[dict[str, Any]]:
    last = view.last
    if last is None or not view.is_live:
        return []
    colour = palette.up if last.close >= last.open else palette.down
    label = {"formatter": formats.price(last.close), "color": palette.surface, "backgroundColor": colour}
    return [_mark(last.close, colour, "dashed", label | {"position": "end", "distance": 4})]


def _level(level: Level, palette: Palette) -> dict[str, Any]:
    label = {
        "formatter": level.words,
        "color": palette.surface,
        "backgroundColor": palette.accent,
        "position": "insideStartTop",
    }
    return _mark(level.price, palette.accent, "solid", label)


def _mark(price: float, colour: str, kind: str, label: dict[str, Any]) -> dict[str, Any]:
    return {
        "yAxis": price,
        "lineStyle": {"color": colour, "type": kind, "width": 1},
        "label": {"padding": [3, 4], "borderRadius": 3, "fontSize": 11} | label,
    }


def _digits(value: float) -> float:
    """Six digits are more than a bar can show, and keep updates small."""
    return float(f"{value:.6g}")
