"""Several markets in one chart, indexed to 100 where all of them begin. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from app.dashboard.ui import echarts
from app.dashboard.ui.echarts_js import NUMBER, ROW, STAMP, TIME_AXIS
from app.dashboard.ui.style import Palette
from coinwatch import formats
from coinwatch.records import Candle
from coinwatch.windows import Window

MOST = 6
"""Markets in one comparison, the chart's own included."""


@dataclass(frozen=True)
class Rebased:
    """One market: pairs of microseconds and closes, 100 at the first."""

    name: str
    points: tuple[tuple[int, float], ...]
    breaks_us: tuple[int, ...] = ()
    """Where missing ranges begin: no line is drawn across them."""

    @property
    def change(self) -> float:
        return self.points[-1][1] / 100 - 1


def rebase(
    candles: Mapping[str, Sequence[Candle]], start_us: int, gaps: Mapping[str, Sequence[Window]] | None = None
) -> tuple[Rebased, ...]:
    """The closes of each market since ``start_us``, or since the shortest history of them begins.

    Markets without candles are left out. ``gaps`` are the missing ranges of each.
    """
    known = {}
    for name, several in candles.items():
        if since := [candle for candle in several if candle.open_ts_us >= start_us]:
            known[name] = since
    begin_us = max((several[0].open_ts_us for several in known.values()), default=0)
    lines = []
    for name, several in known.items():
        inside = [candle for candle in several if candle.open_ts_us >= begin_us]
        if inside and inside[0].close > 0:
            base = inside[0].close
            points = tuple((candle.open_ts_us, candle.close / base * 100) for candle in inside)
            lines.append(Rebased(name, points, _breaks(inside, (gaps or {}).get(name, ()))))
    return tuple(lines)


def describe(lines: Sequence[Rebased]) -> str:
    """The chart as a sentence, for screen readers."""
    since = formats.moment(lines[0].points[0][0])
    changes = "; ".join(f"{line.name} {formats.percent(line.change)}" for line in lines)
    return f"Changes since {since}: {changes}."


def _breaks(candles: Sequence[Candle], gaps: Sequence[Window]) -> tuple[int, ...]:
    """The ends of candles that are followed by a missing range."""
    breaks_us = []
    for before, after in pairwise(candles):
        end_us = before.open_ts_us + before.interval.us
        if any(max(gap.start_us, end_us) < min(gap.end_us, after.open_ts_us) for gap in gaps):
            breaks_us.append(end_us)
    return tuple(breaks_us)


def _data(line: Rebased) -> list[list[float | None]]:
    data: list[list[float | None]] = [[ts_us // 1_000, round(value, 4)] for ts_us, value in line.points]
    data += [[ts_us // 1_000, None] for ts_us in line.breaks_us]
    return sorted(data, key=lambda pair: pair[0] or 0)


_TOOLTIP = """
function (items) {
  %(number)s %(row)s %(stamp)s
  if (!items.length) return '';
  const sorted = items.filter(item => typeof item.value[1] === 'number').sort((a, b) => b.value[1] - a.value[1]);
  return stamp(items[0].axisValue, false) + '<table style="font-variant-numeric:tabular-nums">' + sorted.map(item =>
    row(item.seriesName, number(item.value[1], 2), item.color)).join('') + '</table>';
}
"""  # noqa: E501 -- JavaScript


def options(lines: Sequence[Rebased], palette: Palette, script: echarts.Script) -> dict[str, Any]:
    """Lines on one axis, their names at their ends."""
    return echarts.base(palette, describe(lines)) | {
        "legend": echarts.legend(palette, 2),
        "grid": {"left": 10, "right": echarts.RIGHT_PX, "top": 40, "bottom": 64},
        "tooltip": echarts.tooltip(
            palette, script(_TOOLTIP % {"number": NUMBER, "row": ROW, "stamp": STAMP})
        ),
        "xAxis": echarts.time_axis(palette, script(TIME_AXIS)),
        "yAxis": echarts.value_axis(palette) | {"scale": True},
        "dataZoom": echarts.zooms(palette),
        "series": [
            echarts.line(
                f"line-{number}",
                line.name,
                palette.exchanges[(number * 3 + 1) % len(palette.exchanges)],
                _data(line),
                width=2.4 if number == 0 else 1.6,
            )
            | {
                "markLine": {
                    "symbol": "none",
                    "silent": True,
                    "label": {"show": False},
                    "lineStyle": {"color": palette.muted, "type": "dotted"},
                    "data": [{"yAxis": 100}] if number == 0 else [],
                },
            }
            for number, line in enumerate(lines)
        ],
    }
