"""Numbers that rules depend on and that are read from the warehouse, at most once a second."""

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
from app.alerts.rules.timeline import Event
from coinwatch.intervals import Interval
from coinwatch.times import MINUTE_US
from warehouse.alerts.history import Close, closes
from warehouse.alerts.inputs import fear_greed, open_gaps, sentiments, silences
from warehouse.alerts.job_failures import JobFailure, failures_after, last_failure_id
from warehouse.candles.store import CandlesNotice

MOST_CLOSES = 1_000
"""Indicators are computed from so many candles: enough for the first to carry no weight."""
AGAIN_US = 1 * MINUTE_US
"""Candles are read again after so long, announced or not, and so are sentiment scores."""

CandlesKey: TypeAlias = tuple[int, Interval]

_notices = msgspec.json.Decoder(CandlesNotice)


class PolledInputs:
    """Reads the numbers that the rules of an engine depend on, and applies what is new."""

    def __init__(self) -> None:
        self._closes: dict[CandlesKey, deque[Close]] = {}
        self._announced: set[CandlesKey] = set()
        self._begun: set[Reading | CandlesKey] = set()
        self._read_us = 0
        self._failure_id: int | None = None
        """The last failure of a job that was applied; None while no rule depends on failures."""

    def candles_announced(self, payloads: Iterable[str]) -> None:
        """Note the series of candles that were announced as new."""
        for payload in payloads:
            try:
                notice = _notices.decode(payload)
            except msgspec.DecodeError:
                continue
            self._announced.add((notice.market_id, notice.interval))

    async def start(self, conn: AsyncConnection, engine: RuleEngine, at_us: int, closed_us: int) -> None:
        """Apply what was known at ``at_us``, and closes up to ``closed_us``. This changes no rule."""
        new = {*engine.market_state.readings, *engine.market_state.candles} - self._begun
        if not new:
            return
        self._begun |= new
        self._read_us = 0
        if self._failure_id is None and any(isinstance(reading, FailureOf) for reading in new):
            self._failure_id = await last_failure_id(conn, at_us)
        with engine.learning():
            for key in candles_of(engine):
                market_id, interval = key
                if key not in self._closes:
                    since_us = closed_us - MOST_CLOSES * interval.us
                    known = await closes(conn, market_id, interval, since_us, closed_us)
                    self._closes[key] = deque(known, MOST_CLOSES)
                if self._closes[key]:
                    apply_close(engine, key, self._closes[key], closed_us)
            for reading in new:
                if isinstance(reading, FailureOf):
                    engine.read(reading, 0.0, at_us, at_us, seq=self._failure_id)

    def tidy(self, engine: RuleEngine) -> None:
        """Remove what no rule depends on."""
        self._begun &= {*engine.market_state.readings, *engine.market_state.candles}
        wanted = candles_of(engine)
        self._closes = {key: known for key, known in self._closes.items() if key in wanted}
        self._announced &= wanted

    async def poll(self, conn: AsyncConnection, engine: RuleEngine, now_us: int) -> None:
        """Read what may have changed, and apply it."""
        readings = [
            reading for reading, series in engine.market_state.readings.items() if len(series.thresholds)
        ]
        if asked := [reading.market_id for reading in readings if isinstance(reading, SilenceOf)]:
            for market_id, seconds in (await silences(conn, asked)).items():
                engine.read(SilenceOf(market_id), seconds, now_us, now_us)
        if asked := [reading.market_id for reading in readings if isinstance(reading, GapOf)]:
            for market_id, count in (await open_gaps(conn, asked)).items():
                engine.read(GapOf(market_id), count, now_us, now_us)
        if self._failure_id is not None and any(isinstance(reading, FailureOf) for reading in readings):
            for failure in await failures_after(conn, self._failure_id):
                self._failure_id = failure.id
                apply_failure(engine, failure, now_us)
        if now_us - self._read_us >= AGAIN_US:
            self._read_us = now_us
            self._announced |= candles_of(engine)
            await self._poll_sentiment(conn, engine, readings, now_us)
        await self._poll_candles(conn, engine, now_us)

    async def _poll_sentiment(
        self, conn: AsyncConnection, engine: RuleEngine, readings: list[Reading], now_us: int
    ) -> None:
        if FearGreedNow() in readings and (known := await fear_greed(conn)):
            engine.read(FearGreedNow(), known[1], now_us, now_us, seq=known[0])
        if bases := [reading.base for reading in readings if isinstance(reading, SentimentOf)]:
            for base, (day_us, score) in (await sentiments(conn, bases)).items():
                engine.read(SentimentOf(base), score, now_us, now_us, seq=day_us)

    async def _poll_candles(self, conn: AsyncConnection, engine: RuleEngine, now_us: int) -> None:
        wanted = candles_of(engine)
        announced, self._announced = self._announced, set()
        closed = [
            event
            for key in sorted(wanted & announced)
            for event in await self._closed(conn, engine, key, now_us)
        ]
        for _, apply in sorted(closed, key=itemgetter(0)):
            apply(now_us)

    async def missed(self, conn: AsyncConnection, engine: RuleEngine, now_us: int) -> list[Event]:
        """The closes since the last that was applied, as events."""
        return [
            event
            for key in sorted(candles_of(engine))
            for event in await self._closed(conn, engine, key, now_us)
        ]

    async def _closed(
        self, conn: AsyncConnection, engine: RuleEngine, key: CandlesKey, now_us: int
    ) -> list[Event]:
        market_id, interval = key
        known = self._closes.setdefault(key, deque(maxlen=MOST_CLOSES))
        since_us = known[-1].close_us + 1 if known else now_us - interval.us
        closed = await closes(conn, market_id, interval, since_us, now_us)
        return [(close.close_us, _apply(engine, key, known, close)) for close in closed]


def _apply(engine: RuleEngine, key: CandlesKey, known: deque[Close], close: Close) -> Callable[[int], None]:
    def apply(now_us: int) -> None:
        known.append(close)
        apply_close(engine, key, known, now_us)

    return apply


def apply_failure(engine: RuleEngine, failure: JobFailure, now_us: int) -> None:
    """Apply the failure of a job: rules made before it may fire."""
    detail = f"{failure.job}: {failure.why}" if failure.why else failure.job
    with engine.allowing(lambda rule, cause: rule.created_at_us <= cause.ts_us):
        for reading in (FailureOf(None), FailureOf(failure.job)):
            if reading in engine.market_state.readings:
                for value in (1.0, 0.0):
                    engine.read(reading, value, failure.recorded_us, now_us, seq=failure.id, detail=detail)


def apply_close(engine: RuleEngine, key: CandlesKey, known: deque[Close], now_us: int) -> None:
    """Apply the last of ``known`` as a close, and the indicators of all of them."""
    close = known[-1]
    if feed := engine.market_state.candles.get(key):
        engine.close(feed, close.price, close.close_us, now_us)
    prices = [past.price for past in known]
    for reading in list(engine.market_state.readings):
        if _candles(reading) == key:
            engine.read(reading, measured(reading, prices), close.close_us, now_us)


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


def candles_of(engine: RuleEngine) -> set[CandlesKey]:
    """The series of candles that rules depend on."""
    of_readings = {_candles(reading) for reading in engine.market_state.readings}
    return {key for key in of_readings if key is not None} | engine.market_state.candles.keys()
