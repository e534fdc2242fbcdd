"""Backtests of alerts, in a process of their own that can be ended and does not slow the pages.

``python -m app.dashboard.alerts.lookback`` reads a ``Question`` from stdin and writes a ``Lookback``.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import msgspec
import structlog

from app.alerts.evaluation.backtest import preview
from app.alerts.evaluation.coverage import CoveredSpan
from coinwatch.alerts import NewRule
from coinwatch.alerts.condition_parser import fields_of, read_condition, read_terms, terms_fields
from coinwatch.errors import CoinwatchError
from coinwatch.records import Symbol
from coinwatch.settings import process_settings
from coinwatch.times import DAY_US
from coinwatch.windows import Window
from warehouse.db import roles
from warehouse.db.connect import database_url, session

WINDOW_US = 30 * DAY_US
LIMIT_S = 45.0
"""A backtest that takes longer is ended."""
AT_ONCE = 2
MOST_FIRINGS = 2_000
"""The last so many firings are returned; all are counted."""
MOST_KEPT = 50
_NICE = 10

log = structlog.get_logger(__name__)


class Fired(msgspec.Struct, frozen=True):
    """A time at which a rule would have fired."""

    ts_us: int
    exchange: str | None
    price: float | None
    value: float | None


class Question(msgspec.Struct, frozen=True):
    """A rule as the protocol has it, and the window of its backtest."""

    symbol: str
    exchange: str | None
    condition: dict[str, Any]
    terms: dict[str, Any]
    since_us: int
    until_us: int


class Lookback(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a backtest, or in ``problem`` why there is none."""

    since_us: int
    until_us: int
    fired: list[Fired] = []
    """The last MOST_FIRINGS, in the order of their times."""
    count: int = 0
    first_us: int = 0
    """The time of the first firing; 0 without any."""
    trades: int = 0
    """How many trades were examined."""
    candles: int = 0
    """How many 1m candles stood in for trades."""
    coverage: list[CoveredSpan] = []
    """What each span of the 30 days stands on, in order."""
    paused: bool = False
    """Whether it would have been paused, for firing too often."""
    problem: str | None = None


class Lookbacks:
    """Runs the backtests of all viewers, a few at once, and keeps the last results."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="lookback")
        self._known: dict[bytes, Future[Lookback]] = {}
        self._lock = Lock()

    def ask(self, rule: NewRule, until_us: int) -> Future[Lookback]:
        """The backtest of ``rule`` over the 30 days up to ``until_us``, started if it is not known."""
        question = Question(
            str(rule.symbol),
            rule.exchange,
            fields_of(rule.condition),
            terms_fields(msgspec.structs.replace(rule.terms, expires_at_us=None)),
            until_us - WINDOW_US,
            until_us,
        )
        asked = msgspec.json.encode(question)
        with self._lock:
            if asked not in self._known:
                while len(self._known) >= MOST_KEPT:
                    self._known.pop(next(iter(self._known)))
                self._known[asked] = self._pool.submit(_run, question, asked)
            return self._known[asked]

    def close(self) -> None:
        """Start no more backtests; running ones end by their time limit."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _run(question: Question, asked: bytes) -> Lookback:
    def failed(problem: str) -> Lookback:
        return Lookback(since_us=question.since_us, until_us=question.until_us, problem=problem)

    command = [sys.executable, "-m", __name__]
    try:
        done = subprocess.run(command, input=asked, capture_output=True, timeout=LIMIT_S, check=False)
        return msgspec.json.decode(done.stdout, type=Lookback)
    except subprocess.TimeoutExpired:
        return failed(f"it took longer than {LIMIT_S:.0f} s and was stopped; watch a single exchange")
    except msgspec.MsgspecError:
        log.exception("backtest failed", stderr=done.stderr[-2_000:].decode(errors="replace"))
        return failed("it failed; the log has the details")


async def _answer(question: Question) -> Lookback:
    condition = read_condition(question.condition)
    rule = NewRule(
        symbol=Symbol.canonical(question.symbol),
        exchange=question.exchange,
        condition=condition,
        terms=read_terms(question.terms, condition),
        typed=question.symbol,
    )
    window = Window(question.since_us, question.until_us)
    async with session(
        database_url(process_settings(), create=False), application_name="coinwatch dashboard, backtest"
    ) as conn:
        await conn.set_read_only(True)
        await conn.execute(roles.TAKE_ON, [roles.READER])
        result = await preview(conn, rule, window)
    return Lookback(
        since_us=window.start_us,
        until_us=window.end_us,
        fired=[
            Fired(firing.ts_us, firing.exchange, firing.price, firing.value)
            for firing in result.firings[-MOST_FIRINGS:]
        ],
        count=len(result.firings),
        first_us=result.firings[0].ts_us if result.firings else 0,
        trades=result.trades,
        candles=result.candles,
        coverage=result.coverage,
        paused=result.paused,
    )


def main() -> None:
    """Run the backtest that stdin asks for."""
    os.nice(_NICE)  # the dashboard and the endpoints go first
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    try:
        answer = asyncio.run(_answer(question))
    except CoinwatchError as error:
        answer = Lookback(since_us=question.since_us, until_us=question.until_us, problem=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
