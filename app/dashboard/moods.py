"""What the Sentiment page shows, built from rows. Pure: no Streamlit, no clock, no database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec

from app.dashboard import formats
from app.dashboard.scripts import NUMBER, ROW
from app.dashboard.style import Palette
from coinwatch.records import Candle
from coinwatch.scoring import Part, Source, parts_of
from coinwatch.times import day_start_us
from warehouse.reads_sentiment import DayOfSource

RANGES = {"1mo": 30, "3mo": 90, "1y": 365, "all": 4_000}
"""Days a viewer can choose."""

MARKET = "Whole market"
"""What is chosen when no asset is."""

_MOODS = ((25, "extreme fear"), (45, "fear"), (56, "neutral"), (76, "greed"))

NAMES = {
    Source.FEAR_GREED: "Fear & Greed",
    Source.GDELT: "GDELT",
    Source.NEWS: "News",
    Source.REDDIT: "Reddit",
    Source.TELEGRAM: "Telegram",
    Source.VOTES: "CoinGecko votes",
    Source.X: "X",
    Source.COMBINED: "Combined",
}


@dataclass(frozen=True)
class Gauge:
    """Fear & Greed of the newest day that is told."""

    value: float
    """0 to 100."""
    mood: str
    day: date
    change: float | None
    """Since the day before, in points."""


def mood(value: float) -> str:
    """In words: ``extreme fear`` to ``extreme greed``."""
    return next((name for limit, name in _MOODS if value < limit), "extreme greed")


def gauge(days: Iterable[DayOfSource]) -> Gauge | None:
    """The newest Fear & Greed among ``days``; None when it is not told."""
    told = sorted((one for one in days if one.source == Source.FEAR_GREED), key=lambda one: one.day)
    if not told:
        return None
    newest = told[-1]
    before = next((one for one in reversed(told[:-1]) if (newest.day - one.day).days == 1), None)
    value = min(100.0, max(0.0, newest.value))
    return Gauge(value, mood(value), newest.day, newest.value - before.value if before else None)


def bases(latest: Iterable[DayOfSource]) -> tuple[DayOfSource, ...]:
    """The newest combined score of each asset, the best first."""
    found = [one for one in latest if one.source == Source.COMBINED and one.base and one.score is not None]
    return tuple(sorted(found, key=lambda one: (-(one.score or 0.0), one.base or "")))


def parts(combined: DayOfSource) -> tuple[Part, ...]:
    """What a combined score is made of, the heaviest first; nothing where that is not told."""
    try:
        return tuple(sorted(parts_of(combined.detail), key=lambda part: -part.weight))
    except msgspec.ValidationError:
        return ()


def name_of(source: str) -> str:
    """A source as people call it."""
    return NAMES[Source(source)] if source in set(Source) else source


_TOOLTIP = """
function (items) {
  %(number)s %(row)s
  if (!items.length) return '';
  const day = new Date(items[0].axisValue).toLocaleDateString('en-GB',
    {weekday: 'short', day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC'});
  return '<b>' + day + '</b> <span style="opacity:.65">UTC</span><table style="font-variant-numeric:tabular-nums">' +
    items.filter(item => typeof item.value[1] === 'number').map(item => {
      const value = item.value[1];
      const told = item.seriesId === 'price' ? number(value, %(decimals)d)
        : item.seriesId === 'fear' ? number(value, 0) : (value > 0 ? '+' : '') + number(value, 2);
      return row(item.seriesName, told, item.color);
    }).join('') + '</table>';
}
"""  # noqa: E501 -- JavaScript


def score_options(
    days: Sequence[DayOfSource],
    prices: Sequence[Candle],
    name: str,
    palette: Palette,
    script: Callable[[str], object],
) -> dict[str, Any]:
    """Scores by source and day with the price above them, on one axis of time.

    Of the whole market Fear & Greed is drawn on its own scale.
    """
    lines: dict[str, list[list[float]]] = {}
    for one in days:
        if one.score is not None:
            lines.setdefault(one.source, []).append([_ms(one.day), round(one.score, 4)])
    price = [[candle.open_ts_us // 1_000, candle.close] for candle in prices]
    decimals = formats.price_decimals(prices[-1].close) if prices else 2
    first = min((points[0][0] for points in lines.values()), default=None)
    price = [point for point in price if first is None or point[0] >= first]
    axis: dict[str, Any] = {
        "type": "time",
        "min": first,
        "axisLine": {"lineStyle": {"color": palette.line}},
        "axisTick": {"show": False},
        "splitLine": {"show": False},
    }
    value_axis: dict[str, Any] = {
        "position": "right",
        "axisLine": {"show": False},
        "axisTick": {"show": False},
        "splitLine": {"lineStyle": {"color": palette.line}},
    }
    series = [
        _line("price", f"{name} price", palette.text, price, width=1.8) | {"xAxisIndex": 0, "yAxisIndex": 0}
    ]
    for number, source in enumerate(source for source in NAMES if source.value in lines):
        is_whole = source is Source.COMBINED
        colour = palette.accent if is_whole else palette.exchanges[(number * 3) % len(palette.exchanges)]
        drawn = _line(
            source.value, NAMES[source], colour, lines[source.value], width=2.8 if is_whole else 1.2
        )
        series.append(drawn | {"xAxisIndex": 1, "yAxisIndex": 1, "z": 5 if is_whole else 2})
    return {
        "animation": False,
        "textStyle": {"color": palette.muted, "fontFamily": "inherit"},
        "legend": {
            "type": "scroll",
            "left": 6,
            "right": 10,
            "top": 0,
            "icon": "roundRect",
            "itemHeight": 3,
            "itemWidth": 16,
            "textStyle": {"color": palette.muted},
        },
        "grid": [
            {"left": 10, "right": 74, "top": 36, "height": "34%"},
            {"left": 10, "right": 74, "top": "54%", "bottom": 30},
        ],
        "title": [
            {
                "text": "Score, from -1 (bad) to 1 (good)",
                "left": 6,
                "top": "47%",
                "textStyle": {"color": palette.muted, "fontSize": 12, "fontWeight": "normal"},
            }
        ],
        "axisPointer": {"link": [{"xAxisIndex": [0, 1]}], "lineStyle": {"color": palette.muted}},
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "transitionDuration": 0,
            "backgroundColor": palette.surface,
            "borderColor": palette.line,
            "textStyle": {"color": palette.text, "fontSize": 12},
            "formatter": script(_TOOLTIP % {"number": NUMBER, "row": ROW, "decimals": decimals}),
        },
        "xAxis": [
            axis | {"gridIndex": 0, "axisLabel": {"show": False}},
            axis | {"gridIndex": 1, "axisLabel": {"color": palette.muted, "hideOverlap": True}},
        ],
        "yAxis": [
            value_axis | {"gridIndex": 0, "scale": True, "axisLabel": {"color": palette.muted}},
            value_axis
            | {"gridIndex": 1, "min": -1, "max": 1, "splitNumber": 4, "axisLabel": {"color": palette.muted}},
        ],
        "series": series,
    }


def fear_options(
    days: Sequence[DayOfSource], palette: Palette, script: Callable[[str], object]
) -> dict[str, Any]:
    """The history of Fear & Greed, coloured by its mood."""
    told = [[_ms(one.day), one.value] for one in days if one.source == Source.FEAR_GREED]
    bounds = [0, *(limit for limit, _ in _MOODS), 101]
    tones = (palette.down, palette.hatch, palette.muted, palette.up, palette.up)
    return {
        "animation": False,
        "textStyle": {"color": palette.muted, "fontFamily": "inherit"},
        "grid": {"left": 10, "right": 44, "top": 14, "bottom": 30},
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "transitionDuration": 0,
            "backgroundColor": palette.surface,
            "borderColor": palette.line,
            "textStyle": {"color": palette.text, "fontSize": 12},
            "formatter": script(_TOOLTIP % {"number": NUMBER, "row": ROW, "decimals": 0}),
        },
        "visualMap": {
            "show": False,
            "dimension": 1,
            "pieces": [
                {"gte": low, "lt": high, "color": tone}
                for low, high, tone in zip(bounds, bounds[1:], tones, strict=False)
            ],
        },
        "xAxis": {
            "type": "time",
            "axisLine": {"lineStyle": {"color": palette.line}},
            "axisTick": {"show": False},
            "axisLabel": {"color": palette.muted, "hideOverlap": True},
        },
        "yAxis": {
            "position": "right",
            "min": 0,
            "max": 100,
            "splitNumber": 4,
            "axisLabel": {"color": palette.muted},
            "splitLine": {"lineStyle": {"color": palette.line}},
        },
        "series": [
            _line("fear", "Fear & Greed", palette.text, told, width=2.0) | {"areaStyle": {"opacity": 0.07}}
        ],
    }


def _ms(day: date) -> int:
    return day_start_us(day) // 1_000


def _line(id_: str, name: str, colour: str, data: Sequence[object], *, width: float) -> dict[str, Any]:
    return {
        "id": id_,
        "name": name,
        "type": "line",
        "symbol": "none",
        "lineStyle": {"width": width},
        "itemStyle": {"color": colour},
        "data": list(data),
    }
