"""The HTML of the Overview."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from urllib.parse import quote as quote_url

from markupsafe import Markup

from app.dashboard.overview.view import Card, Overview
from app.dashboard.ui.problems import Problem, by_kind
from app.dashboard.ui.templates import render
from coinwatch.times import DAY_US

WIDTH, HEIGHT, MARGIN = 100, 30, 1
_BEFORE, _BETWEEN, _AFTER = (
    quote_url(part)
    for part in (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' preserveAspectRatio='none'>"
        "<polygon points='",
        "' fill='#000' opacity='.12'/><polyline points='",
        "' fill='none' stroke='#000' stroke-width='1.6' stroke-linejoin='round' "
        "vector-effect='non-scaling-stroke'/></svg>",
    )
)
"""The drawing around the points of its area and its line. Quoted once: quoting is half of the work."""


def overview(view: Overview, now_us: int, zone: tzinfo) -> Markup:
    """The line of facts and the grid of cards."""
    return render("overview/overview.html.j2", view=view, now_us=now_us, zone=zone, sparkline=sparkline)


def strip(
    gainers: Sequence[Card],
    losers: Sequence[Card],
    problems: Sequence[Problem] | None,
    gauge: Markup | None = None,
) -> Markup:
    """The top gainers and losers, and the problems; None while these cannot be read."""
    return render(
        "overview/strip.html.j2",
        gainers=gainers,
        losers=losers,
        problems=problems,
        kinds=by_kind(problems or ()),
        gauge=gauge or "",
    )


def sparkline(card: Card, now_us: int) -> str:
    """A day of prices to scale, up to the price of the card, as the data URL of an SVG drawing.

    What is not stored stays empty on the left. Empty without a movement to draw.
    """
    since_us = now_us - DAY_US
    points = [(ts_us, price) for ts_us, price in card.sparkline if ts_us >= since_us]
    if card.price is not None and card.as_of_us is not None:
        points.append((max(card.as_of_us, points[-1][0] if points else 0), card.price))
    prices = [price for _, price in points]
    if len(points) < 2 or min(prices) == max(prices):
        return ""
    low, height = min(prices), max(prices) - min(prices)
    bottom = HEIGHT - MARGIN
    scaled = [
        (WIDTH * (ts_us - since_us) / DAY_US, bottom - (bottom - MARGIN) * (price - low) / height)
        for ts_us, price in points
    ]
    line = "%20".join(f"{x:.1f}%2C{y:.1f}" for x, y in scaled)
    area = f"{scaled[0][0]:.1f}%2C{HEIGHT}%20{line}%20{scaled[-1][0]:.1f}%2C{HEIGHT}"
    return f"data:image/svg+xml,{_BEFORE}{area}{_BETWEEN}{line}{_AFTER}"
