"""The heat map of completeness by market and day: options of Apache ECharts."""

from __future__ import annotations

from typing import Any

from app.dashboard.data_quality.view import DAY_S, Amounts, Completeness
from app.dashboard.ui import echarts
from app.dashboard.ui.echarts_js import STROKES
from app.dashboard.ui.style import Palette

ROW_PX, DENSE_ROW_PX = 24, 17
MANY_ROWS = 30
FRAME_PX = 64
NARROW_PX, NARROW_DAYS = 640, 45
"""A map narrower than this starts with the last ``NARROW_DAYS``; dragging shows the others."""

PICK = """
function (params) { return {row: params.value[1], day: params.value[0], clicked: Date.now()}; }
"""
"""Returns the row and column of a clicked cell; ``clicked`` makes every click a new value."""

# A cell is a day, from bottom to top: minutes with trades, without trades, unavailable, missing.
_CELL = """
function (params, api) {
  %(strokes)s
  const at = api.coord([api.value(0), api.value(1)]), size = api.size([1, 1]);
  const pad = size[0] > 7 ? 1.5 : size[0] > 3 ? 0.5 : 0, edge = size[1] > 20 ? 2 : 1;
  const width = size[0] - 2 * pad, height = size[1] - 2 * edge;
  const left = at[0] - size[0] / 2 + pad, top = at[1] - size[1] / 2 + edge;
  const box = {x: left, y: top, width: width, height: height, r: width > 6 ? 2 : 0};
  const covered = api.value(2), unavailable = api.value(3), missing = api.value(4), quiet = api.value(5);
  const traded = covered - quiet;
  if (traded > .9999) return {type: 'rect', shape: box, style: {fill: '%(up)s', opacity: .55}};
  const children = [{type: 'rect', shape: box, style: {fill: '%(ground)s'}}];
  let bottom = top + height;
  const part = share => { const part = Math.min(height, Math.max(share > 0 ? 2 : 0, share * height));
    bottom -= part; return {x: left, y: bottom, width: width, height: part, r: box.r}; };
  if (traded > 0) children.push({type: 'rect', shape: part(traded), style: {fill: '%(up)s', opacity: .55}});
  if (quiet > 0) children.push({type: 'rect', shape: part(quiet), style: {fill: '%(up)s', opacity: .24}});
  if (unavailable > 0) {
    const box = part(unavailable);
    children.push(strokes(box.x, box.x + box.width, box.y, box.height, '%(muted)s', 4));
  }
  if (missing > 0) {
    const box = part(missing);
    box.y = Math.max(box.y, top);
    children.push({type: 'rect', shape: box, style: {fill: '%(missing)s'}});
  }
  return {type: 'group', children: children};
}
"""

_TOOLTIP = """
function (item) {
  const [day, row, covered, unavailable, missing, quiet] = item.value;
  const hours = share => { const minutes = Math.round(share * 1440);
    return minutes < 90 ? minutes + ' min' : (minutes / 60).toFixed(1) + ' h'; };
  let html = '<b>' + %(rows)s[row] + '</b><br>' + %(days)s[day] + ' (UTC)<br>';
  html += 'verified: ' + hours(covered);
  if (%(quiet)s) html += '<br>without trades: ' + hours(quiet);
  if (unavailable > 0) html += '<br>unavailable: ' + hours(unavailable);
  html += '<br>' + (missing > 0 ? '<b>missing: ' + hours(missing) + '</b>' : 'nothing missing');
  return html + '<br><span style="opacity:.65">click for each minute</span>';
}
"""


def height_px(view: Completeness) -> int:
    """The height of the map."""
    row_px = DENSE_ROW_PX if len(view.rows) > MANY_ROWS else ROW_PX
    return FRAME_PX + row_px * max(1, len(view.rows))


def options(view: Completeness, palette: Palette, script: echarts.Script) -> dict[str, Any]:
    """A cell for each market and day on which candles were wanted."""
    rows = [str(row.market) for row in view.rows]
    days = [f"{day:%-d %b}" for day in view.days]
    full = [f"{day:%A, %-d %B %Y}" for day in view.days]
    drawn = echarts.base(palette, _description(view)) | {
        "grid": {"left": 8, "right": 12, "top": 8, "bottom": 8, "containLabel": True},
        "tooltip": echarts.tooltip(
            palette,
            script(_TOOLTIP % {"rows": rows, "days": full, "quiet": "true" if view.has_quiet else "false"}),
            trigger="item",
        ),
        "xAxis": {
            "type": "category",
            "data": days,
            "position": "top",
            "axisLine": {"show": False},
            "axisTick": {"show": False},
            "axisLabel": {"color": palette.muted, "hideOverlap": True},
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "category",
            "data": rows,
            "inverse": True,
            "axisLine": {"show": False},
            "axisTick": {"show": False},
            "axisLabel": {
                "color": palette.text,
                "interval": 0,
                "fontSize": 11 if len(rows) > MANY_ROWS else 12,
            },
        },
        "dataZoom": [
            {"type": "inside", "xAxisIndex": 0, "zoomOnMouseWheel": "ctrl", "moveOnMouseWheel": False}
        ],
        "series": [
            {
                "id": "days",
                "type": "custom",
                "clip": True,
                "progressive": 0,  # otherwise each refresh draws it in visible steps
                "renderItem": script(
                    _CELL
                    % {
                        "strokes": STROKES,
                        "ground": palette.line,
                        "up": palette.up,
                        "muted": palette.muted,
                        "missing": palette.hatch,
                    }
                ),
                "data": [
                    [column, number, *_shares(day)]
                    for number, row in enumerate(view.rows)
                    for column, day in enumerate(row.days)
                    if day is not None and day.wanted_s > 0
                ],
            }
        ],
    }
    first = max(0.0, 100 * (1 - NARROW_DAYS / len(days)))
    narrow = {
        "dataZoom": [{"start": first, "end": 100}],
        "yAxis": {"axisLabel": {"fontSize": 10}},
        "grid": {"left": 0, "right": 4},
    }
    return {"baseOption": drawn, "media": [{"query": {"maxWidth": NARROW_PX}, "option": narrow}]}


def _description(view: Completeness) -> str:
    """A description for screen readers; the table below the map has the numbers."""
    incomplete = sum(row.total.missing_s > 0 for row in view.rows)
    summary = f"{incomplete} of {len(view.rows)} markets have" if incomplete else "No market has"
    return f"Completeness of candles by market and day. {summary} missing candles in {len(view.days)} days."


def _shares(day: Amounts) -> tuple[float, float, float, float]:
    return (
        round(day.covered_s / DAY_S, 4),
        round(day.unavailable_s / DAY_S, 4),
        round(day.missing_s / DAY_S, 4),
        round(day.quiet_s / DAY_S, 4),
    )
