"""What several charts share: JavaScript run in the browser for numbers, times, hatching."""

from __future__ import annotations

NUMBER = """
function number(value, decimals) {
  return value.toLocaleString('en-US', {minimumFractionDigits: decimals, maximumFractionDigits: decimals});
}
"""

COMPACT = """
function compact(value, digits) {
  const sizes = [[1e12, 'T'], [1e9, 'B'], [1e6, 'M'], [1e3, 'K']];
  const short = value => digits ? +value.toPrecision(digits) : +value.toFixed(1);
  for (const [size, name] of sizes) if (value >= size) return short(value / size) + ' ' + name;
  return String(+value.toPrecision(digits || 3));
}
"""

# The viewer's own time first, then UTC.
STAMP = """
function stamp(ms, seconds) {
  const date = new Date(ms), two = {day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit'};
  const local = date.toLocaleString('en-GB', seconds ? {...two, second: '2-digit'} : two);
  const utc = date.toISOString().slice(0, seconds ? 19 : 16).replace('T', ' ');
  return '<b>' + local + '</b> <span style="opacity:.65">' + utc + ' UTC</span>';
}
"""

ROW = """
function row(name, value, colour) {
  return '<tr><td style="padding-right:1em">' +
    (colour ? '<span style="color:' + colour + '">&#9632;</span> ' : '') + name +
    '</td><td style="text-align:right">' + value + '</td></tr>';
}
"""

# Diagonal strokes over a span, cut to its box. Expects left, right, top, height and colour.
STROKES = """
function strokes(left, right, top, height, colour, gap) {
  const box = {x: left, y: top, width: right - left, height: height};
  const children = [{type: 'rect', shape: box, style: {fill: colour, opacity: 0.08}}];
  for (let x = left - height; x < right; x += gap) {
    children.push({type: 'line', style: {stroke: colour, lineWidth: 1, opacity: 0.45},
      shape: {x1: x, y1: top + height, x2: x + height, y2: top}});
  }
  return {type: 'group', silent: true, children: children, clipPath: {type: 'rect', shape: box}};
}
"""

# Hours within a day, the date where one begins, as the viewer's clock has them.
TIME_AXIS = """
function (value) {
  const date = new Date(value), two = number => String(number).padStart(2, '0');
  if (!date.getHours() && !date.getMinutes() && !date.getSeconds()) {
    return date.toLocaleDateString('en-GB', {day: 'numeric', month: 'short'});
  }
  const minutes = two(date.getHours()) + ':' + two(date.getMinutes());
  return date.getSeconds() ? minutes + ':' + two(date.getSeconds()) : minutes;
}
"""
