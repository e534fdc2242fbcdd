"""Completeness by market and day as a heat map: options of Apache ECharts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.dashboard.completeness import DAY_S, Amounts, Completeness
from app.dashboard.scripts import STROKES
from app.dashboard.style import Palette

ROW_PX = 24
FRAME_PX = 64

PICK = """
function (params) { return {row: params.value[1], day: params.value[0], clicked: Date.now()}; }
"""
"""Tells the cell of a click by its place; ``clicked`` makes each click another answer."""

# A cell is a day from bottom to top: what is there, what cannot be had, what is missing.
_CELL = """
function (params, api) {
  %(strokes)s
  const at = api.coord([api.value(0), api.value(1)]), size = api.size([1, 1]);
  const pad = size[0] > 7 ? 1.5 : 0.5, width = size[0] - 2 * pad, height = size[1] - 4;
  const left = at[0] - size[0] / 2 + pad, top = at[1] - size[1] / 2 + 2;
  const children = [{type: 'rect', shape: {x: left, y: top, width: width, height: height, r: 2},
    style: {fill: '%(ground)s'}}];
  let bottom = top + height;
  const part = share => { const part = Math.min(height, Math.max(share > 0 ? 2 : 0, share * height));
    bottom -= part; return {x: left, y: bottom, width: width, height: part, r: 2}; };
  const covered = api.value(2), unavailable = api.value(3), missing = api.value(4);
  if (covered > 0) children.push({type: 'rect', shape: part(covered), style: {fill: '%(up)s', opacity: .82}});
  if (unavailable > 0) {
    const box = part(unavailable);
    children.push(strokes(box.x, box.x + box.width, box.y, box.height, '%(muted)s', 4));
  }
  if (missing > 0) children.push({type: 'rect', shape: part(missing), style: {fill: '%(missing)s'}});
  return {type: 'group', children: children};
}
"""

_TOOLTIP = """
function (item) {
  const [day, row, covered, unavailable, missing] = item.value;
  const hours = share => { const minutes = Math.round(share * 1440);
    return minutes < 90 ? minutes + ' min' : (minutes / 60).toFixed(1) + ' h'; };
  let html = '<b>' + %(rows)s[row] + '</b><br>' + %(days)s[day] + ' (UTC)<br>';
  html += 'verified: ' + hours(covered);
  if (unavailable > 0) html += '<br>not served any more: ' + hours(unavailable);
  html += '<br>' + (missing > 0 ? '<b>missing: ' + hours(missing) + '</b>' : 'nothing missing');
  return html;
}
"""


def height_px(view: Completeness) -> int:
    """How high the map must be."""
    return FRAME_PX + ROW_PX * max(1, len(view.rows))


def options(view: Completeness, palette: Palette, script: Callable[[str], object]) -> dict[str, Any]:
    """A cell for each market and day that was asked for."""
    rows = [str(row.market) for row in view.rows]
    days = [f"{day:%-d %b}" for day in view.days]
    full = [f"{day:%A, %-d %B %Y}" for day in view.days]
    return {
        "animation": False,
        "textStyle": {"color": palette.muted, "fontFamily": "inherit"},
        "grid": {"left": 8, "right": 12, "top": 8, "bottom": 8, "containLabel": True},
        "tooltip": {
            "confine": True,
            "transitionDuration": 0,
            "backgroundColor": palette.surface,
            "borderColor": palette.line,
            "textStyle": {"color": palette.text, "fontSize": 12},
            "formatter": script(_TOOLTIP % {"rows": rows, "days": full}),
        },
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
            "axisLabel": {"color": palette.text, "interval": 0, "fontSize": 12},
        },
        "series": [
            {
                "id": "days",
                "type": "custom",
                "clip": True,
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
                    if day is not None and day.asked_s > 0
                ],
            }
        ],
    }


def _shares(day: Amounts) -> tuple[float, float, float]:
    return (
        round(day.covered_s / DAY_S, 4),
        round(day.unavailable_s / DAY_S, 4),
        round(day.missing_s / DAY_S, 4),
    )
