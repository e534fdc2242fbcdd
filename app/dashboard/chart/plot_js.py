"""JavaScript of the chart of candles."""

from __future__ import annotations

# Hours within a day, the date at midnight, as the viewer's clock has them; days are UTC days.
TIME_LABEL = """
function (value) {
  const date = new Date(+value), intraday = %s;
  const two = number => String(number).padStart(2, '0');
  if (!intraday) return date.toLocaleDateString('en-GB', {day: 'numeric', month: 'short', timeZone: 'UTC'});
  if (date.getHours() || date.getMinutes()) return two(date.getHours()) + ':' + two(date.getMinutes());
  return date.toLocaleDateString('en-GB', {day: 'numeric', month: 'short'});
}
"""

TOOLTIP = """
function (items) {
  %(number)s %(compact)s %(row)s %(stamp)s
  const decimals = %(decimals)d;
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
      const size = Math.abs(item.value);
      const shown = size >= 1e5 ? (item.value < 0 ? '\\u2212' : '') + compact(size) : number(item.value, decimals);
      html += row(item.seriesName, shown, item.color);
    }
  }
  if (volume !== null) html += row('Volume', compact(volume));
  if (!items.length) return '';
  const empty = volume === null ? '<div>no trade</div>' : '';
  return stamp(+items[0].axisValue, false) + empty +
    '<table style="font-variant-numeric:tabular-nums">' + html + '</table>';
}
"""  # noqa: E501 -- JavaScript

# Diagonal strokes over a span of buckets, whole height of the price pane.
HATCH = """
function (params, api) {
  %(strokes)s
  const half = api.size([1, 0])[0] / 2, box = params.coordSys;
  const left = Math.max(box.x, api.coord([api.value(0), 0])[0] - half);
  const right = Math.min(box.x + box.width, api.coord([api.value(1), 0])[0] + half);
  return right <= left ? null : strokes(left, right, box.y, box.height, '%(colour)s', 9);
}
"""

# Nothing traded: a dash at the last price.
DASH = """
function (params, api) {
  const at = api.coord([api.value(0), api.value(1)]), half = Math.max(1, api.size([1, 0])[0] * 0.35);
  return {type: 'line', silent: true, shape: {x1: at[0] - half, y1: at[1], x2: at[0] + half, y2: at[1]},
    style: {stroke: '%(colour)s', lineWidth: 1.5}};
}
"""
