"""Every condition, from a client's wish to what it is sent, and a preview that reports the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import URL

from tests.app.alerts.conftest import Endpoint
from tests.app.alerts.watch_cases import WITH_AVERAGE, Case, Step, staged, wrong

Start = Callable[[], Awaitable[Endpoint]]
HOUR_S = 3_600.0
DAY_S = 86_400.0


def condition(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def trades(*prices: float, on: str = "binance") -> list[Step]:
    return [(on, price) for price in prices]


def case(name: str, wish: dict[str, Any], then: list[Step], received: list[float], **more: Any) -> Case:
    terms = more.pop("terms", {})
    return Case(name=name, wish={"condition": wish, **terms}, then=then, received=received, **more)


FIELDS = ("price", "direction", "percent", "within", "over", "peg", "base")
EVERY = {"repeat": "every"}
OLD: list[Step] = [("binance", 100, 4 * DAY_S), ("binance", 90, 3 * HOUR_S), ("binance", 110, 2 * HOUR_S)]

PRICES = [
    Case(name="a price alone", wish={"price": 100}, then=trades(99, 101, 102), received=[101]),
    case("above: at it", condition("above", price=100), trades(99, 100, 101), [100]),
    case("above: beyond it", condition("above", price=100), trades(99, 105), [105]),
    case("below: at it", condition("below", price=100), trades(101, 100), [100]),
    case("below: beyond it", condition("below", price=100), trades(101, 95), [95]),
    case("crosses up", condition("crosses", price=100, direction="up"), trades(101, 99, 100), [100]),
    case("crosses down", condition("crosses", price=100, direction="down"), trades(99, 101, 95), [95]),
    case("crosses either", condition("crosses", price=100), trades(99, 101, 102, 98), [101, 98], terms=EVERY),
    case(
        "crosses up each time",
        condition("crosses", price=100, direction="up"),
        trades(99, 101, 102, 98, 103),
        [101, 103],
        terms=EVERY,
    ),
    case(
        "a spike within a commit is not missed",
        condition("crosses", price=100, direction="up"),
        [("binance", (99, 98, 101, 97))],
        [101],
    ),
    case(
        "rise",
        condition("change", percent=5, within="1h", direction="rise"),
        trades(100, 94, 98.6, 98.7),
        [98.7],
        values=[5.0],
    ),
    case(
        "fall",
        condition("change", percent=5, within="15m", direction="fall"),
        trades(100, 110, 104.5),
        [104.5],
    ),
    case(
        "either",
        condition("change", percent=5, within="5m"),
        trades(100, 105, 100, 95),
        [105, 95],
        terms=EVERY,
    ),
    case(
        "what is out of the window is no rise",
        condition("change", percent=5, within="1h", direction="rise"),
        trades(113, 115.7),
        [115.7],
        before=[*OLD, ("binance", 110.1, 60)],
    ),
    case("a high of hours", condition("new_high", over="24h"), trades(109, 110, 111), [111], before=OLD),
    case("a high of days", condition("new_high", over="3d"), trades(110, 110.5), [110.5], before=OLD),
    case("a low of hours", condition("new_low", over="2d"), trades(90, 89), [89], before=OLD),
    case(
        "no high of what is not known",
        condition("new_high", over="7d"),
        trades(120, 130),
        [],
        before=OLD,
    ),
    case(
        "an exchange out of line",
        condition("from_average", percent=2),
        [("average", 100), ("binance", 101, WITH_AVERAGE), ("kraken", 97.9, WITH_AVERAGE)],
        [97.9],
        values=[-2.1],
        exchanges=["kraken"],
    ),
    case(
        "above the average only",
        condition("from_average", percent=2, direction="above"),
        [("average", 100), ("binance", 90, WITH_AVERAGE), ("kraken", 102, WITH_AVERAGE)],
        [102],
    ),
    case(
        "below the average only",
        condition("from_average", percent=2, direction="below"),
        [("average", 100), ("binance", 110, WITH_AVERAGE), ("kraken", 98, WITH_AVERAGE)],
        [98],
    ),
    case(
        "apart on two exchanges",
        condition("spread", exchanges=["kraken", "binance"], percent=1),
        [("binance", 100), ("coinbase", 150), ("kraken", 100.9), ("kraken", 101)],
        [101],
        values=[1.0],
    ),
    case(
        "apart from a price of long ago",
        condition("spread", exchanges=["kraken", "binance"], percent=1),
        [("kraken", 100, 400), ("binance", 105), ("kraken", 101), ("binance", 105.5)],
        [101],
    ),
    case(
        "volume",
        condition("volume", over="1m", times=20, usual="10m"),
        [*trades(101, 102, 103), ("binance", (104,) * 200), ("binance", 105)],
        [104],
        before=[("binance", 100, 60.0 * minutes) for minutes in range(20, 1, -1)],
    ),
    case("off its peg above", condition("depeg", percent=0.5), trades(1.004, 1.006), [1.006], values=[0.6]),
    case("off its peg below", condition("depeg", percent=0.5), trades(0.996, 0.994), [0.994]),
    case("off a peg of its own", condition("depeg", percent=1, peg=100), trades(100.5, 101), [101]),
    case(
        "every step",
        condition("every", percent=5, base=100),
        trades(102, 106, 104, 95),
        [106, 95],
        terms=EVERY,
    ),
    case(
        "all of several",
        condition("all", of=[condition("above", price=100), condition("change", percent=5, within="1h")]),
        trades(90, 99, 95, 100),
        [100],
    ),
    case(
        "any of several",
        condition("any", of=[condition("above", price=110), condition("below", price=90)]),
        trades(100, 111, 100, 89),
        [111, 89],
        terms=EVERY,
    ),
    case(
        "on one market",
        condition("above", price=100),
        [("kraken", 101), ("binance", 99), ("binance", 102)],
        [102],
        on="binance",
    ),
    case(
        "on any exchange of a pair",
        condition("crosses", price=100, direction="up"),
        [("binance", 101), ("kraken", 99), ("coinbase", 101), ("kraken", 102)],
        [102],
        exchanges=["kraken"],
    ),
    case(
        "what is met already is received by a price of its exchange",
        condition("all", of=[condition("above", price=100), condition("below", price=105)]),
        [("kraken", 90), ("coinbase", 103), ("binance", 104)],
        [104],
        before=trades(102),
        on="binance",
    ),
    case(
        "all of the same market",
        condition("all", of=[condition("above", price=100), condition("below", price=105)]),
        [("binance", 110), ("kraken", 90), ("coinbase", 102)],
        [102],
        exchanges=["coinbase"],
    ),
]


def on_another_price(source: str) -> list[Case]:
    """Each condition on a price, on averages or closes; trades mean nothing to it."""

    def on(name: str, kind: str, several: list[float], received: list[float], **more: Any) -> Case:
        by = {"source": "average"} if source == "average" else {"source": "candle", "interval": "1m"}
        fields = {key: more.pop(key) for key in FIELDS if key in more}
        then = [("binance", 500.0), *((source, price) for price in several), ("binance", 1.0)]
        more = {"before": [(source, several[0])], **more}
        return case(name, condition(kind, **fields, **by), then, received, **more)

    where = None if source == "average" else "binance"
    climb = [(source, 100.0 + second) for second in range(8)]
    return [
        on("above", "above", [99, 100], [100], price=100, exchanges=[where]),
        on("below", "below", [101, 99], [99], price=100),
        on("crosses up", "crosses", [101, 99, 102], [102], price=100, direction="up"),
        on("crosses down", "crosses", [99, 101, 98], [98], price=100, direction="down"),
        on("crosses", "crosses", [99, 101, 98], [101, 98], price=100, terms=EVERY),
        on("rise", "change", [100, 105], [105], percent=5, within="1h", direction="rise"),
        on("fall", "change", [100, 95], [95], percent=5, within="1h", direction="fall"),
        on("high", "new_high", [106, 105, 107], [107], over=240 if where else 5, before=climb),
        on("low", "new_low", [101, 102, 100], [100], over=240 if where else 5, before=climb),
        on("off its peg", "depeg", [100.5, 99], [99], percent=1, peg=100, values=[1.0]),
        on("every step", "every", [102, 106, 95], [106, 95], percent=5, base=100, terms=EVERY),
        on("met already", "above", [103], [103], price=100, before=[(source, 102)]),
        on("no more when it counts", "above", [99], [], price=100, before=[(source, 102)]),
    ]


def rsi(level: float, direction: str) -> dict[str, Any]:
    return condition("rsi", level=level, direction=direction, interval="1m", period=2)


def averages(**fields: Any) -> dict[str, Any]:
    return condition("ma_cross", fast=2, slow=3, interval="1m", **fields)


def closes(*prices: float) -> list[Step]:
    return [("close", price) for price in prices]


TRADED: list[Step] = [("binance", 7, 5 * HOUR_S)]
FALLING = [*TRADED, *closes(100, 99, 98, 97)]
RISING = [*TRADED, *closes(97, 98, 99, 100)]
# Prices are those of the last trade, 7: what fires is a number made of closes.
INDICATORS = [
    case("RSI above", rsi(70, "above"), closes(96, 110), [7], before=FALLING, values=[93.333333]),
    case("RSI below", rsi(30, "below"), closes(101, 90), [7], before=RISING, values=[8.333333]),
    case("RSI met already", rsi(70, "above"), closes(101), [7], before=RISING, values=[100.0]),
    case("RSI each time", rsi(70, "above"), closes(96, 110, 90, 120), [7, 7], before=FALLING, terms=EVERY),
    case(
        "RSI once per candle",
        rsi(70, "above"),
        closes(110, 120),
        [7, 7],
        before=FALLING,
        terms={"repeat": "candle", "candle": "1m"},
    ),
    case("RSI of too few candles", rsi(1, "above"), closes(101), [], before=[*TRADED, *closes(100)]),
    case(
        "averages cross up", averages(direction="up"), closes(97, 103), [7], before=FALLING, values=[1.010101]
    ),
    case("averages cross down", averages(direction="down"), closes(100, 94), [7], before=RISING),
    case("averages cross", averages(), closes(97, 103, 90), [7, 7], before=FALLING, terms=EVERY),
    case("averages were above before", averages(direction="up"), closes(101, 103), [], before=RISING),
    case("exponential averages", averages(average="ema"), closes(96, 104), [7], before=FALLING),
]


async def test_prices_of_trades(database: URL, start: Start) -> None:
    async with staged(database, start, PRICES) as stage:
        assert wrong(PRICES, await stage.play(PRICES)) == {}


async def test_averages(database: URL, start: Start) -> None:
    cases = on_another_price("average")
    async with staged(database, start, cases) as stage:
        assert wrong(cases, await stage.play(cases)) == {}


async def test_closed_candles(database: URL, start: Start) -> None:
    cases = on_another_price("close")
    async with staged(database, start, cases) as stage:
        assert wrong(cases, await stage.play(cases)) == {}


async def test_indicators_of_closed_candles(database: URL, start: Start) -> None:
    async with staged(database, start, INDICATORS) as stage:
        assert wrong(INDICATORS, await stage.play(INDICATORS)) == {}
