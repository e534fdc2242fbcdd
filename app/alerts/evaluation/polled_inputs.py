"""Numbers that rules wait for and that are read from the warehouse, once a second at the most."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import TypeAlias

import msgspec
from psycopg import AsyncConnection

from app.alerts.rules.engine import RuleEngine
from app.alerts.rules.indicators import average_distance, rsi
from app.alerts.rules.market_state import (
    AveragesOf,
    FailureOf,
    FearGreedNow,
    GapOf,
    Reading,
    RsiOf,
    SentimentOf,
    SilenceOf,
)
from coinwatch.intervals import Interval
from coinwatch.times import MINUTE_US
from warehouse.alerts.history import Close, closes
from warehouse.alerts.inputs import fear_greed, open_gaps, sentiments, silences
from warehouse.alerts.job_failures import JobFailure, failures_after, last_failure_id
from warehouse.candles.store import CandlesNotice

MOST_CLOSES = 1_000
"""From so many candles indicators are computed: enough for the first to have no weight any more."""
AGAIN_US = 1 * MINUTE_US
"""Candles are looked for again after so long, told of or not, and so are the moods of the day."""

CandlesKey: TypeAlias = tuple[int, Interval]
CloseNews: TypeAlias = tuple[int, Callable[[int], None]]
"""When a candle has closed, and what tells it at a time of the database's clock."""

_notices = msgspec.json.Decoder(CandlesNotice)


class Readings:
    """Reads for a machine what its rules wait for, and tells it what is new."""

    def __init__(self) -> None:
        self._closes: dict[CandlesKey, deque[Close]] = {}
        self._told: set[CandlesKey] = set()
        self._begun: set[Reading | CandlesKey] = set()
        self._read_us = 0
        self._failure_id: int | None = None
        """Of the last failure of a job that was told; None while nobody waits for one."""

    def told_of_candles(self, payloads: Iterable[str]) -> None:
        """Some candles may be new."""
        for payload in payloads:
            try:
                notice = _notices.decode(payload)
            except msgspec.DecodeError:
                continue
            self._told.add((notice.market_id, notice.interval))

    async def start(self, conn: AsyncConnection, machine: RuleEngine, at_us: int, closed_us: int) -> None:
        """Tell what was known at ``at_us``: it changes no rule, but what comes next is measured by it.

        Of candles those that had closed by ``closed_us``.
        """
        new = {*machine.world.readings, *machine.world.candles} - self._begun
        if not new:
            return
        self._begun |= new
        self._read_us = 0
        if self._failure_id is None and any(isinstance(one, FailureOf) for one in new):
            self._failure_id = await last_failure_id(conn, at_us)
        with machine.learning():
            for key in candles_of(machine):
                market_id, interval = key
                if key not in self._closes:
                    since_us = closed_us - MOST_CLOSES * interval.us
                    known = await closes(conn, market_id, interval, since_us, closed_us)
                    self._closes[key] = deque(known, MOST_CLOSES)
                if self._closes[key]:
                    apply_close(machine, key, self._closes[key], closed_us)
            for reading in new:
                if isinstance(reading, FailureOf):
                    machine.read(reading, 0.0, at_us, at_us, seq=self._failure_id)

    def tidy(self, machine: RuleEngine) -> None:
        """Let go of what nobody waits for any more."""
        self._begun &= {*machine.world.readings, *machine.world.candles}
        wanted = candles_of(machine)
        self._closes = {key: known for key, known in self._closes.items() if key in wanted}
        self._told &= wanted

    async def poll(self, conn: AsyncConnection, machine: RuleEngine, now_us: int) -> None:
        """Read what may have changed, and tell it."""
        readings = [one for one, series in machine.world.readings.items() if len(series.ladder)]
        if asked := [one.market_id for one in readings if isinstance(one, SilenceOf)]:
            for market_id, seconds in (await silences(conn, asked)).items():
                machine.read(SilenceOf(market_id), seconds, now_us, now_us)
        if asked := [one.market_id for one in readings if isinstance(one, GapOf)]:
            for market_id, count in (await open_gaps(conn, asked)).items():
                machine.read(GapOf(market_id), count, now_us, now_us)
        if self._failure_id is not None and any(isinstance(one, FailureOf) for one in readings):
            for failure in await failures_after(conn, self._failure_id):
                self._failure_id = failure.id
                tell_failure(machine, failure, now_us)
        if now_us - self._read_us >= AGAIN_US:
            self._read_us = now_us
            self._told |= candles_of(machine)
            await self._poll_moods(conn, machine, readings, now_us)
        await self._poll_candles(conn, machine, now_us)

    async def _poll_moods(
        self, conn: AsyncConnection, machine: RuleEngine, readings: list[Reading], now_us: int
    ) -> None:
        if FearGreedNow() in readings and (known := await fear_greed(conn)):
            machine.read(FearGreedNow(), known[1], now_us, now_us, seq=known[0])
        if bases := [one.base for one in readings if isinstance(one, SentimentOf)]:
            for base, (day_us, score) in (await sentiments(conn, bases)).items():
                machine.read(SentimentOf(base), score, now_us, now_us, seq=day_us)

    async def _poll_candles(self, conn: AsyncConnection, machine: RuleEngine, now_us: int) -> None:
        wanted = candles_of(machine)
        told, self._told = self._told, set()
        closed = [
            one for key in sorted(wanted & told) for one in await self._closed(conn, machine, key, now_us)
        ]
        for _, tell in sorted(closed, key=itemgetter(0)):
            tell(now_us)

    async def missed(self, conn: AsyncConnection, machine: RuleEngine, now_us: int) -> list[CloseNews]:
        """The candles that have closed since they were told of last."""
        return [
            one
            for key in sorted(candles_of(machine))
            for one in await self._closed(conn, machine, key, now_us)
        ]

    async def _closed(
        self, conn: AsyncConnection, machine: RuleEngine, key: CandlesKey, now_us: int
    ) -> list[CloseNews]:
        market_id, interval = key
        known = self._closes.setdefault(key, deque(maxlen=MOST_CLOSES))
        since_us = known[-1].close_us + 1 if known else now_us - interval.us
        closed = await closes(conn, market_id, interval, since_us, now_us)
        return [(one.close_us, _tell(machine, key, known, one)) for one in closed]


def _tell(machine: RuleEngine, key: CandlesKey, known: deque[Close], one: Close) -> Callable[[int], None]:
    def tell(now_us: int) -> None:
        known.append(one)
        apply_close(machine, key, known, now_us)

    return tell


def tell_failure(machine: RuleEngine, failure: JobFailure, now_us: int) -> None:
    """Tell that a job has failed: what was asked for before that may fire."""
    detail = f"{failure.job}: {failure.why}" if failure.why else failure.job
    with machine.allowing(lambda rule, cause: rule.created_at_us <= cause.ts_us):
        for reading in (FailureOf(None), FailureOf(failure.job)):
            if reading in machine.world.readings:
                for value in (1.0, 0.0):
                    machine.read(reading, value, failure.recorded_us, now_us, seq=failure.id, detail=detail)


def apply_close(machine: RuleEngine, key: CandlesKey, known: deque[Close], now_us: int) -> None:
    """Tell that the last of ``known`` has closed, and the indicators of all of them."""
    close = known[-1]
    if feed := machine.world.candles.get(key):
        machine.close(feed, close.price, close.close_us, now_us)
    prices = [one.price for one in known]
    for reading in list(machine.world.readings):
        if _candles(reading) == key:
            machine.read(reading, measured(reading, prices), close.close_us, now_us)


def measured(reading: Reading, prices: list[float]) -> float | None:
    """An indicator at the last of ``prices``."""
    match reading:
        case RsiOf(period=period):
            return rsi(prices, period)
        case AveragesOf(fast=fast, slow=slow, average=kind):
            return average_distance(prices, fast, slow, kind)
        case _:
            return None


def _candles(reading: Reading) -> CandlesKey | None:
    match reading:
        case (
            RsiOf(market_id=market_id, interval=interval) | AveragesOf(market_id=market_id, interval=interval)
        ):
            return market_id, interval
        case FearGreedNow() | SentimentOf() | SilenceOf() | GapOf() | FailureOf():
            return None


def candles_of(machine: RuleEngine) -> set[CandlesKey]:
    """The candles that some rule waits for."""
    of_readings = {_candles(reading) for reading in machine.world.readings}
    return {key for key in of_readings if key is not None} | machine.world.candles.keys()
