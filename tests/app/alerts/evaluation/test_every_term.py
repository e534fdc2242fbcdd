"""Every term of a watch, from a client's wish to what it is sent, and a preview that reports the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import URL

from tests.app.alerts.conftest import Endpoint
from tests.app.alerts.watch_cases import Case, Step, staged, wrong

Start = Callable[[], Awaitable[Endpoint]]
BTC = "binance:BTC-USDT"
ABOVE = {"type": "above", "price": 100}
UP = {"type": "crosses", "price": 100, "direction": "up"}
CLOSES = {"source": "candle", "interval": "1m"}
NOW = datetime.now(UTC)
YESTERDAY_S = (NOW - NOW.replace(hour=12, minute=0) + timedelta(days=1)).total_seconds()
"""Since noon of the day before: what happens then is in one candle of a day, and what happens now is not."""


def trades(*prices: float, on: str = "binance") -> list[Step]:
    return [(on, price) for price in prices]


def yesterday(*prices: float) -> list[Step]:
    return [("binance", price, YESTERDAY_S) for price in prices]


def closes(*prices: float) -> list[Step]:
    return [("close", price) for price in prices]


def case(name: str, condition: dict[str, Any], then: list[Step], received: list[float], **terms: Any) -> Case:
    cases = {key: terms.pop(key) for key in ("before", "on", "exchanges", "values") if key in terms}
    return Case(name=name, wish={"condition": condition, **terms}, then=then, received=received, **cases)


def quiet_now(zone: str, *, over_midnight: bool) -> dict[str, str]:
    """Hours that now is in and that end no sooner than in an hour, written in ``zone``."""
    local = datetime.now(ZoneInfo(zone))
    begins, ends = local - timedelta(hours=2), local + timedelta(hours=2)
    if over_midnight:
        begins, ends = local - timedelta(hours=12), local + timedelta(hours=11)
    return {"from": f"{begins:%H:%M}", "to": f"{ends:%H:%M}", "tz": zone}


TERMS = [
    case("once, the default", ABOVE, trades(101, 99, 102), [101]),
    case("every time", ABOVE, trades(101, 102, 99, 103), [101, 103], repeat="every"),
    case(
        "once per candle",
        ABOVE,
        [*yesterday(101, 99, 102), *trades(103, 99)],
        [101, 103],
        repeat="candle",
        candle="1d",
    ),
    case(
        "what is still so in the next candle is received by its first price",
        ABOVE,
        [*yesterday(101, 102), *trades(103)],
        [101, 103],
        repeat="candle",
        candle="1d",
    ),
    case(
        "a crossing either way, once per candle",
        {"type": "crosses", "price": 100},
        [*yesterday(99, 101, 98, 102), *trades(103, 97)],
        [101, 97],
        repeat="candle",
        candle="1d",
    ),
    case(
        "once per candle, of its close",
        {**ABOVE, **CLOSES},
        [*closes(99, 101), ("binance", 500), *closes(102, 99, 103), ("binance", 500)],
        [101, 102, 103],
        before=closes(98),
        repeat="candle",
        candle="1m",
    ),
    case(
        "not again before it has come back by the hysteresis",
        ABOVE,
        trades(101, 99.5, 102, 98.9, 103),
        [101, 103],
        repeat="every",
        hysteresis=1,
    ),
    case(
        "crossings by the hysteresis",
        {**UP, "direction": "down"},
        trades(101, 99, 100.9, 98, 101.1, 97),
        [99, 97],
        repeat="every",
        hysteresis=1,
    ),
    case(
        "off its peg again only when it was nearer by the hysteresis",
        {"type": "depeg", "percent": 1},
        trades(0.98, 0.992, 0.98, 0.996, 0.97),
        [0.98, 0.97],
        repeat="every",
        hysteresis=0.5,
    ),
    case("in a cooldown nothing", ABOVE, trades(101, 99, 102), [101], repeat="every", cooldown="1h"),
    case("over", ABOVE, [("binance", 99), ("binance", 101)], [101], expires="1h"),
    case(
        "confirmed on two exchanges",
        ABOVE,
        [("binance", 101), ("binance", 102), ("kraken", 99), ("coinbase", 100)],
        [100],
        confirmed_on=2,
        exchanges=["coinbase"],
    ),
    case(
        "confirmed on two again and again",
        ABOVE,
        [("binance", 101), ("kraken", 102), ("kraken", 99), ("binance", 103), ("kraken", 104)],
        [102, 104],
        confirmed_on=2,
        repeat="every",
    ),
    case(
        "crossings confirmed on three",
        UP,
        [
            *((on, 99) for on in ("binance", "kraken", "coinbase")),
            ("kraken", 101),
            ("binance", 102),
            ("coinbase", 103),
        ],
        [103],
        confirmed_on=3,
    ),
    case(
        "closes confirmed on two exchanges",
        {**ABOVE, **CLOSES},
        [("close", 101), ("close", 98, "kraken"), ("close", 102, "kraken"), ("binance", 500)],
        [102],
        before=[("close", 99), ("close", 99, "kraken")],
        confirmed_on=2,
        exchanges=["kraken"],
    ),
    case("quiet now", ABOVE, trades(101), [], quiet_hours=quiet_now("UTC", over_midnight=False)),
    case(
        "quiet over midnight, far away",
        ABOVE,
        trades(101),
        [],
        quiet_hours=quiet_now("Pacific/Auckland", over_midnight=True),
    ),
    case("with a note", ABOVE, trades(101), [101], note="look"),
    case("in its own words", ABOVE, trades(101), [101], note="look", template="{note}: {symbol} {price}{{}}"),
]


async def test_terms(database: URL, start: Start) -> None:
    async with staged(database, start, TERMS) as stage:
        received = await stage.play(TERMS)
    assert wrong(TERMS, received) == {}
    assert received["with a note"].alerts[0]["message"].startswith("look: C")
    assert received["in its own words"].alerts[0]["message"].endswith("-USDT 101{}")
