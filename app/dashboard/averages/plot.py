"""The average of a pair beside each exchange's price, as options of Apache ECharts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from app.dashboard.averages.view import AveragesView, ExchangeLine
from app.dashboard.ui import echarts
from app.dashboard.ui.echarts_js import NUMBER, ROW, STAMP, TIME_AXIS
from app.dashboard.ui.style import Palette, exchange_colours
from coinwatch import formats
from coinwatch.times import MINUTE_US

PICK = """
function (params) {
  const at = [params.offsetX, params.offsetY];
  if (!chart.containPixel({gridIndex: 0}, at) && !chart.containPixel({gridIndex: 1}, at)) return;
  return {at_ms: Math.round(chart.convertFromPixel({xAxisIndex: 0}, params.offsetX)), clicked: Date.now()};
}
"""
"""Returns the moment of a click as ``at_ms``. ``clicked`` makes each click a new event."""

_TOOLTIP = """
function (items) {
  %(number)s %(stamp)s %(row)s
  if (!items.length) return '';
  const prices = new Map(), apart = new Map();
  let head = '', lines = '';
  for (const item of items) {
    const value = Array.isArray(item.value) ? item.value[1] : item.value;
    if (typeof value !== 'number') continue;
    if (item.seriesId === 'average') head = row('<b>Average</b>', '<b>' + number(value, %(decimals)d) + '</b>', item.color);
    else if (item.seriesId.startsWith('price-')) prices.set(item.seriesName, [value, item.color]);
    else if (item.seriesId.startsWith('apart-')) apart.set(item.seriesName, [value, true]);
    else if (item.seriesId.startsWith('out-') && !apart.has(item.seriesName)) apart.set(item.seriesName, [value, false]);
    else if (item.seriesId.startsWith('line-')) lines += row(item.seriesName, number(value, %(decimals)d), item.color);
  }
  let html = stamp(items[0].axisValue, %(seconds)s) + '<table style="font-variant-numeric:tabular-nums">' + head;
  for (const [name, [value, colour]] of prices) {
    const [points, used] = apart.get(name) || [null, true];
    const deviation = points === null ? '' : ' <span style="opacity:.65">' + (points > 0 ? '+' : '') + points.toFixed(1) +
      ' bp' + (used ? '' : ', excluded') + '</span>';
    html += row(name, number(value, %(decimals)d) + deviation, colour);
  }
  return html + lines + '</table>';
}
"""  # noqa: E501 -- JavaScript


def options(
    view: AveragesView, palette: Palette, script: echarts.Script, *, at_us: int | None = None
) -> dict[str, Any]:
    """Prices above, deviations in basis points below, on one axis of time; ``at_us`` is marked."""
    last = next((price for price in reversed(view.prices) if price is not None), None)
    decimals = formats.price_decimals(last) if last is not None else 2
    low, high = _span(view)
    axis = echarts.time_axis(palette, script(TIME_AXIS)) | {
        "min": view.times_us[0] // 1_000,
        "max": view.times_us[-1] // 1_000,
        "splitLine": {"show": False},
        "axisPointer": {"label": {"show": False}},
    }
    value_axis = echarts.value_axis(palette) | {
        "scale": True,
        "axisLine": {"show": False},
        "axisTick": {"show": False},
    }
    return echarts.base(palette, describe(view)) | {
        "legend": echarts.legend(palette, 4)
        | {
            "right": 10,
            "pageTextStyle": {"color": palette.muted},
            "data": [
                "Average",
                *(line.name for line in view.lines),
                *(line.name for line in view.exchanges),
            ],
        },
        "grid": [
            {"id": "price", "left": 10, "right": echarts.RIGHT_PX, "top": 40, "height": "50%"},
            {"id": "apart", "left": 10, "right": echarts.RIGHT_PX, "top": "66%", "bottom": 30},
        ],
        "title": [echarts.title(palette, "Deviation from the average, basis points", "60%")],
        "axisPointer": {"link": [{"xAxisIndex": [0, 1]}], "lineStyle": {"color": palette.muted}},
        "tooltip": echarts.tooltip(
            palette,
            script(
                _TOOLTIP
                % {
                    "number": NUMBER,
                    "stamp": STAMP,
                    "row": ROW,
                    "decimals": decimals,
                    "seconds": "true" if view.step_us < MINUTE_US else "false",
                }
            ),
        )
        | {"axisPointer": {"type": "line", "lineStyle": {"color": palette.muted}}},
        "xAxis": [
            axis | {"gridIndex": 0, "axisLabel": {"show": False}},
            axis | {"gridIndex": 1},
        ],
        "yAxis": [
            value_axis
            | {
                "gridIndex": 0,
                "min": low,
                "max": high,
                "axisLabel": {
                    "color": palette.muted,
                    "showMinLabel": False,
                    "showMaxLabel": False,
                    "formatter": script(f"function (value) {{ {NUMBER} return number(value, {decimals}); }}"),
                },
            },
            value_axis
            | {
                "gridIndex": 1,
                "splitNumber": 3,
                "axisLabel": {
                    "color": palette.muted,
                    "showMinLabel": False,
                    "showMaxLabel": False,
                    "formatter": script(
                        "function (value) { return (value > 0 ? '+' : '') + +value.toFixed(1); }"
                    ),
                },
            }
            | _deviation_span(view),
        ],
        "series": _series(view, palette, decimals, at_us),
    }


def describe(view: AveragesView) -> str:
    """The chart as a sentence, for screen readers."""
    known = [price for price in view.prices if price is not None]
    if not known:
        return "No average price."
    words = [
        f"Average price from {formats.moment(view.times_us[0])} to {formats.moment(view.times_us[-1])}",
        f"between {formats.price(min(known))} and {formats.price(max(known))}, "
        f"the last at {formats.price(known[-1])}",
    ]
    for line in view.exchanges:
        usual = line.usual_deviation
        words.append(
            f"{line.name} excluded"
            if usual is None
            else f"{line.name} on average {formats.basis_points(usual).lstrip('+')} away"
        )
    return "; ".join(words) + "."


def _series(view: AveragesView, palette: Palette, decimals: int, at_us: int | None) -> list[dict[str, Any]]:
    exact = decimals + 2
    band = list(zip(view.prices, view.confidences, strict=True))
    shading = {"symbol": "none", "type": "line", "stack": "band", "silent": True, "lineStyle": {"opacity": 0}}
    series: list[dict[str, Any]] = [
        shading
        | {
            "id": "band-low",
            "data": _data(view, [None if p is None or c is None else round(p - c, exact) for p, c in band]),
        },
        shading
        | {
            "id": "band",
            "areaStyle": {"color": palette.muted, "opacity": 0.16},
            "data": _data(view, [None if c is None else round(2 * c, exact) for _, c in band]),
        },
    ]
    colour_of = exchange_colours((line.name for line in view.exchanges), palette)
    for i, line in enumerate(view.exchanges):
        colour = colour_of[line.name]
        used, excluded = _by_use(line, line.prices, exact)
        series.append(_line(f"price-{i}", line.name, colour, _data(view, used), opacity=0.8))
        if any(value is not None for value in excluded):
            dotted = _line(
                f"price-out-{i}", line.name, colour, _data(view, excluded), kind="dotted", opacity=0.7
            )
            series.append(dotted)
    series.append(
        _line("average", "Average", palette.text, _data(view, view.prices), width=2.6)
        | {"z": 5, **_marked(at_us, palette)}
    )
    for i, moving in enumerate(view.lines):
        colour = palette.overlays[i % len(palette.overlays)]
        data = _data(view, [None if value is None else round(value, exact) for value in moving.values])
        series.append(_line(f"line-{i}", moving.name, colour, data, width=1.8) | {"z": 4})
    for i, line in enumerate(view.exchanges):
        colour = colour_of[line.name]
        used, excluded = _by_use(line, line.deviations, 2)
        below = {"xAxisIndex": 1, "yAxisIndex": 1}
        series.append(_line(f"apart-{i}", line.name, colour, _data(view, used)) | below)
        if any(value is not None for value in excluded):
            dotted = _line(f"out-{i}", line.name, colour, _data(view, excluded), kind="dotted", opacity=0.7)
            series.append(dotted | below)
    series.append(
        _line("zero", "", palette.text, [[view.times_us[0] // 1_000, 0], [view.times_us[-1] // 1_000, 0]])
        | {"xAxisIndex": 1, "yAxisIndex": 1, "silent": True, **_marked(at_us, palette)}
    )
    return series


def _line(
    id_: str,
    name: str,
    colour: str,
    data: Sequence[object],
    *,
    width: float = 1.3,
    kind: str = "solid",
    opacity: float = 1.0,
) -> dict[str, Any]:
    stroke = {"width": width, "color": colour, "type": kind, "opacity": opacity}
    return echarts.line(id_, name, colour, data, width=width) | {"lineStyle": stroke}


def _marked(at_us: int | None, palette: Palette) -> dict[str, Any]:
    if at_us is None:
        return {"markLine": {"data": []}}
    return {
        "markLine": {
            "symbol": "none",
            "silent": True,
            "animation": False,
            "label": {"show": False},
            "lineStyle": {"color": palette.accent, "width": 1.4, "type": "solid"},
            "data": [{"xAxis": at_us // 1_000}],
        }
    }


def _data(view: AveragesView, values: Iterable[float | None]) -> list[list[float | None]]:
    return [[ts_us // 1_000, value] for ts_us, value in zip(view.times_us, values, strict=True)]


def _by_use(
    line: ExchangeLine, values: Sequence[float | None], decimals: int
) -> tuple[list[float | None], list[float | None]]:
    """``values`` while used, and while excluded. Both include the point of a change, to connect."""
    used: list[float | None] = []
    excluded: list[float | None] = []
    for i, value in enumerate(values):
        digits = None if value is None else round(value, decimals)
        was_used = line.used[i - 1] if i and values[i - 1] is not None else line.used[i]
        used.append(digits if line.used[i] else None)
        excluded.append(digits if not line.used[i] or not was_used else None)
    return used, excluded


def _span(view: AveragesView) -> tuple[float | None, float | None]:
    """Of the price axis, by prices in use: an outlier must not flatten the rest."""
    shown = [price for price in view.prices if price is not None]
    for line in view.exchanges:
        shown += [
            price for price, used in zip(line.prices, line.used, strict=True) if used and price is not None
        ]
    for moving in view.lines:
        shown += [value for value in moving.values if value is not None]
    if not shown:
        return None, None
    low, high = min(shown), max(shown)
    margin = (high - low) * 0.06 or high * 1e-4
    return low - margin, high + margin


def _deviation_span(view: AveragesView) -> dict[str, float]:
    apart = [
        abs(value)
        for line in view.exchanges
        for value, used in zip(line.deviations, line.used, strict=True)
        if used and value is not None
    ]
    reach = max(apart, default=0.0)
    reach = max(1.0, float(f"{reach * 1.1:.2g}"))
    return {"min": -reach, "max": reach}
