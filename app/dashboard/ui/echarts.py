"""Options of Apache ECharts in Coinwatch's look that charts share; each adds its own with ``|``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from app.dashboard.ui.style import Palette

Script = Callable[[str], object]
"""Marks a text as JavaScript to run."""

RIGHT_PX = 78
"""Room for the labels of an axis of prices, right of the grid."""

# A bar in a box as high as the text beside it: a legend that scrolls cuts off what is higher than its icons.
_LEGEND_ICON = "path://M0,0L16,0M0,5L16,5L16,8L0,8ZM0,12L16,12"


def base(palette: Palette, words: str | None = None) -> dict[str, Any]:
    """What every chart begins with; ``words`` describe it for those who cannot see it, else ECharts does."""
    label = {} if words is None else {"label": {"enabled": True, "description": words}}
    return {
        "animation": False,
        "aria": {"enabled": True} | label,
        "textStyle": {"color": palette.muted, "fontFamily": "inherit"},
    }


def tooltip(palette: Palette, formatter: object, *, trigger: str = "axis") -> dict[str, Any]:
    """Of all that is at one place of the axis, or with ``item`` as the trigger of one item."""
    return {
        "trigger": trigger,
        "confine": True,
        "transitionDuration": 0,
        "backgroundColor": palette.surface,
        "borderColor": palette.line,
        "textStyle": {"color": palette.text, "fontSize": 12},
        "formatter": formatter,
    }


def legend(palette: Palette, top: int) -> dict[str, Any]:
    """One row that scrolls, ``top`` pixels below the edge."""
    return {
        "type": "scroll",
        "left": 6,
        "top": top,
        "icon": _LEGEND_ICON,
        "itemHeight": 12,
        "itemWidth": 16,
        "textStyle": {"color": palette.muted},
    }


def title(palette: Palette, text: str, top: int | str) -> dict[str, Any]:
    """The name of a pane, above it."""
    return {
        "text": text,
        "left": 6,
        "top": top,
        "textStyle": {"color": palette.muted, "fontSize": 12, "fontWeight": "normal"},
    }


def time_axis(palette: Palette, formatter: object = None) -> dict[str, Any]:
    """With labels as ``formatter`` writes them, else as ECharts does."""
    label = {} if formatter is None else {"formatter": formatter}
    return {
        "type": "time",
        "axisLine": {"lineStyle": {"color": palette.line}},
        "axisTick": {"show": False},
        "axisLabel": {"color": palette.muted, "hideOverlap": True} | label,
    }


def value_axis(palette: Palette) -> dict[str, Any]:
    return {
        "position": "right",
        "axisLabel": {"color": palette.muted},
        "splitLine": {"lineStyle": {"color": palette.line}},
    }


def zooms(palette: Palette) -> list[dict[str, Any]]:
    """By wheel and by a slider below; without start and end, so that an update keeps what is shown."""
    return [
        {"type": "inside", "filterMode": "weakFilter", "preventDefaultMouseMove": False},
        {
            "type": "slider",
            "filterMode": "weakFilter",
            "bottom": 8,
            "left": 12,
            "right": RIGHT_PX + 2,
            "height": 24,
            "showDetail": False,
            "borderColor": palette.line,
        },
    ]


def line(id_: str, name: str, colour: str, data: Sequence[object], *, width: float) -> dict[str, Any]:
    """A series without dots."""
    return {
        "id": id_,
        "name": name,
        "type": "line",
        "symbol": "none",
        "lineStyle": {"width": width},
        "itemStyle": {"color": colour},
        "data": list(data),
    }
