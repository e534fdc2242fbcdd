"""What a watch comes to by the clock, which is set ahead: held, cooled down, woken, over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from sqlalchemy import URL

from app.alerts.evaluation.progress import Progress
from coinwatch.times import MINUTE_US
from tests.app.alerts.conftest import Endpoint
from tests.app.alerts.watch_cases import END, Case, Stage, Step, staged

Start = Callable[[], Awaitable[Endpoint]]
ABOVE = {"type": "above", "price": 100}
DEPEG = {"type": "depeg", "percent": 0.5}
EVERY = {"repeat": "every"}
FIRST_MIN, SECOND_MIN = 40, 180
"""How far ahead the clock is at the first and the second look, in minutes."""
AGO_MIN = 300
"""So long before now a preview has it all happen."""


class Clocked(msgspec.Struct, frozen=True, kw_only=True):
    """One watch, and the prices that it reports at once, at the first look and at the second."""

    name: str
    terms: dict[str, Any]
    now: Sequence[Step]
    then: Sequence[Step] = ()
    """After the first look."""
    received: tuple[list[float], list[float], list[float]]
    condition: dict[str, Any] = msgspec.field(default_factory=lambda: ABOVE)
    snooze: dict[str, Any] | None = None
    is_quiet: bool = False
    """Within two hours, an hour of them gone, on a clock far away."""
    before: Sequence[Step] = ()
    """The watch is made."""


def at(*prices: float, on: str = "binance") -> list[Step]:
    return [(on, price) for price in prices]


def both(price: float, other: float) -> list[Step]:
    return [("binance", price), ("kraken", other)]


CLOCKED = [
    Clocked(name="holds", terms={"holds_for": "30m"}, now=at(101), received=([], [101], [])),
    Clocked(name="holds for long", terms={"holds_for": "1h"}, now=at(101, 102), received=([], [], [102])),
    Clocked(name="held not", terms={"holds_for": "1h"}, now=at(101), then=at(99), received=([], [], [])),
    Clocked(
        name="holds again", terms={"holds_for": "1h"}, now=at(101), then=at(99, 103), received=([], [], [103])
    ),
    Clocked(
        name="holds again and again",
        terms={"holds_for": "30m", **EVERY},
        now=at(101),
        then=at(99, 103),
        received=([], [101], [103]),
    ),
    Clocked(
        name="a crossing holds",
        condition={"type": "crosses", "price": 100, "direction": "up"},
        terms={"holds_for": "1h"},
        now=at(99, 101),
        received=([], [], [101]),
    ),
    Clocked(
        name="cooled down",
        terms={"cooldown": "1h", **EVERY},
        now=at(101, 99, 102),
        received=([101], [], [102]),
    ),
    Clocked(
        name="cooled down too late",
        terms={"cooldown": "1h", **EVERY},
        now=at(101, 99, 102),
        then=at(99),
        received=([101], [], []),
    ),
    Clocked(
        name="two exchanges off the peg",
        condition=DEPEG,
        terms={"holds_for": "1h", "confirmed_on": 2},
        now=both(0.99, 0.994),
        received=([], [], [0.99]),
    ),
    Clocked(
        name="one exchange off the peg",
        condition=DEPEG,
        terms={"holds_for": "1h", "confirmed_on": 2},
        now=both(0.99, 0.998),
        received=([], [], []),
    ),
    Clocked(
        name="one exchange comes back to the peg",
        condition=DEPEG,
        terms={"holds_for": "1h", "confirmed_on": 2},
        now=both(0.99, 0.994),
        then=at(1.0),
        received=([], [], []),
    ),
    Clocked(
        name="all of several hold",
        condition={"type": "all", "of": [ABOVE, {"type": "below", "price": 110}]},
        terms={"holds_for": "30m"},
        now=at(111, 105),
        received=([], [105], []),
    ),
    Clocked(name="quiet until then", terms={}, is_quiet=True, now=at(101), received=([], [], [101])),
    Clocked(
        name="quiet until it is over",
        terms={},
        is_quiet=True,
        now=at(101),
        then=at(99),
        received=([], [], []),
    ),
    Clocked(
        name="quiet, and each time",
        terms=EVERY,
        is_quiet=True,
        now=at(101, 99),
        then=at(102),
        received=([], [], [102]),
    ),
    Clocked(
        name="quiet, and in a cooldown",
        terms={"cooldown": "2h", **EVERY},
        is_quiet=True,
        now=at(101),
        received=([], [], [101]),
    ),
    Clocked(name="snoozed", terms={}, snooze={"for": "1h"}, now=at(101), received=([], [], [101])),
    Clocked(name="snoozed longer", terms={}, snooze={"for": "1d"}, now=at(101), received=([], [], [])),
    Clocked(
        name="snoozed past it",
        terms={},
        snooze={"for": "1h"},
        now=at(101),
        then=at(99),
        received=([], [], []),
    ),
    Clocked(name="over before it", terms={"expires": "1h"}, now=at(99), received=([], [], [])),
    Clocked(
        name="over while it holds",
        terms={"expires": "1h", "holds_for": "90m"},
        now=at(101),
        received=([], [], []),
    ),
    Clocked(
        name="holds before it is over",
        terms={"expires": "1h", "holds_for": "30m"},
        now=at(101),
        received=([], [101], []),
    ),
    Clocked(
        name="quiet, and holds",
        terms={"holds_for": "30m"},
        is_quiet=True,
        now=at(101),
        then=at(102),
        received=([], [], [102]),
    ),
    Clocked(
        name="once per candle, and in a cooldown",
        terms={"repeat": "candle", "candle": "1m", "cooldown": "1h"},
        now=at(101, 102),
        then=[("binance", 103, -120)],
        received=([101], [], [103]),
    ),
    Clocked(
        name="an average holds",
        condition={**ABOVE, "source": "average"},
        terms={"holds_for": "1h"},
        now=[("average", 101), ("binance", 500)],
        received=([], [], [101]),
    ),
    Clocked(
        name="a close holds",
        condition={**ABOVE, "source": "candle", "interval": "1m"},
        terms={"holds_for": "1h"},
        before=[("close", 99)],
        now=[("close", 101), ("binance", 500)],
        received=([], [], [101]),
    ),
]


async def test_by_the_clock(database: URL, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead_us = 0
    real = Progress.now_us
    monkeypatch.setattr(Progress, "now_us", lambda progress: real(progress) + ahead_us)
    pairs = [
        Case(name=clocked.name, wish={}, then=(), received=())
        for clocked in CLOCKED
        for _ in ("live", "past")
    ]
    async with staged(database, start, pairs) as stage:
        rules = [await _watch(stage, number, clocked) for number, clocked in enumerate(CLOCKED)]
        looks = [
            await _marker(stage, 1, f"{FIRST_MIN - 10}m"),
            await _marker(stage, 2, f"{SECOND_MIN - 10}m"),
        ]
        await stage.all_was_heard()
        received = []
        for steps, look, minutes in (("now", looks[0], FIRST_MIN), ("then", looks[1], SECOND_MIN)):
            for number, clocked in enumerate(CLOCKED):
                for step in getattr(clocked, steps):
                    await stage.do(_live(number), step)
            await stage.all_was_heard()
            received.append(_wake_up(stage, rules))
            ahead_us = minutes * MINUTE_US
            await stage.until_alerted(look)
            await stage.ask(cmd="ping")
        received.append(_wake_up(stage, rules))
        await stage.do(_live(_named("over before it")), ("binance", 101))
        await stage.all_was_heard()
        assert _wake_up(stage, rules) == received[-1]
        at_once, first, second = received
        assert at_once == {clocked.name: clocked.received[0] for clocked in CLOCKED}
        assert first == {clocked.name: clocked.received[0] + clocked.received[1] for clocked in CLOCKED}
        assert second == {
            clocked.name: [*clocked.received[0], *clocked.received[1], *clocked.received[2]]
            for clocked in CLOCKED
        }
        left = {rule["rule_id"] for rule in (await stage.ask(cmd="list"))["rules"]}
        over = {
            rules[number]["rule_id"] for number, clocked in enumerate(CLOCKED) if "expires" in clocked.terms
        }
        assert not left & over
        assert await _previewed(stage) == {
            clocked.name: second[clocked.name] for clocked in CLOCKED if _is_previewed(clocked)
        }


async def _watch(stage: Stage, number: int, clocked: Clocked) -> dict[str, Any]:
    for step in clocked.before:
        await stage.do(_live(number), step)
    quiet = _quiet(datetime.now(UTC)) if clocked.is_quiet else {}
    rule = await stage.ask(
        cmd="watch", symbol=_live(number), condition=clocked.condition, **clocked.terms, **quiet
    )
    assert rule["type"] == "ack", rule
    if clocked.snooze is not None:
        snoozed = await stage.ask(cmd="snooze", rule_id=rule["rule_id"], **clocked.snooze)
        assert "snoozed_until" in snoozed
    return rule


async def _marker(stage: Stage, price: float, holds_for: str) -> dict[str, Any]:
    """Alerted after everything that is due by the clock before it."""
    return await stage.ask(
        cmd="watch", symbol=END, condition={"type": "above", "price": price}, holds_for=holds_for
    )


async def _previewed(stage: Stage) -> dict[str, list[float]]:
    """The same again, of what happened to other pairs some hours ago."""
    ago_s = AGO_MIN * 60
    fired = {}
    for number, clocked in enumerate(CLOCKED):
        if not _is_previewed(clocked):
            continue
        for steps, after_min in ((clocked.now, 0), (clocked.then, FIRST_MIN)):
            for second, step in enumerate(steps):
                await stage.do(_past(number), (*step[:2], ago_s - after_min * 60 - second))
        quiet = _quiet(datetime.now(UTC) - timedelta(minutes=AGO_MIN)) if clocked.is_quiet else {}
        answer = await stage.ask(
            cmd="preview",
            symbol=_past(number),
            condition=clocked.condition,
            since=f"{ago_s + 60}s",
            **clocked.terms,
            **quiet,
        )
        fired[clocked.name] = [firing["price"] for firing in answer["fired"]]
    return fired


def _is_previewed(clocked: Clocked) -> bool:
    """Not what begins now: a snooze, an end, averages and closes of these minutes."""
    return clocked.snooze is None and "expires" not in clocked.terms and "source" not in clocked.condition


def _wake_up(stage: Stage, rules: list[dict[str, Any]]) -> dict[str, list[float]]:
    return {
        clocked.name: [alert["price"] for alert in stage.alerts if alert["rule_id"] == rule["rule_id"]]
        for clocked, rule in zip(CLOCKED, rules, strict=True)
    }


def _quiet(moment: datetime) -> dict[str, Any]:
    local = moment.astimezone(ZoneInfo("Asia/Kolkata"))
    begins, ends = local - timedelta(hours=1), local + timedelta(hours=1)
    hours = {"from": f"{begins:%H:%M}", "to": f"{ends:%H:%M}", "tz": "Asia/Kolkata"}
    return {"quiet_hours": hours}


def _named(name: str) -> int:
    return [clocked.name for clocked in CLOCKED].index(name)


def _live(number: int) -> str:
    return f"C{2 * number:02}-USDT"


def _past(number: int) -> str:
    return f"C{2 * number + 1:02}-USDT"
