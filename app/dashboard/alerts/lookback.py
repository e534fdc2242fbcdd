"""What an alert would have done: run in a process of its own, which takes nobody's time and can be ended.

``python -m app.dashboard.alert_lookback`` reads a ``Question`` from stdin and writes a ``Lookback``.
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
from coinwatch.settings import load_settings
from coinwatch.times import DAY_US
from coinwatch.windows import Window
from warehouse.db import roles
from warehouse.db.connect import database_url, session

WINDOW_US = 30 * DAY_US
LIMIT_S = 45.0
"""A look back that takes longer is given up."""
AT_ONCE = 2
MOST_FIRINGS = 2_000
"""So many firings are told, the last ones; all are counted."""
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
    """A rule, in the words of the protocol, and from when to when."""

    symbol: str
    exchange: str | None
    condition: dict[str, Any]
    terms: dict[str, Any]
    since_us: int
    until_us: int


class Lookback(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule would have done, or in ``problem`` why that cannot be said."""

    since_us: int
    until_us: int
    fired: list[Fired] = []
    """The last MOST_FIRINGS of them, the first one first."""
    count: int = 0
    first_us: int = 0
    """When it would have fired for the first time."""
    trades: int = 0
    """How many were read."""
    candles: int = 0
    """How many 1m candles stood in for trades."""
    coverage: list[CoveredSpan] = []
    """What each span of the 30 days stands on, in order."""
    paused: bool = False
    """Whether it would have been paused, for firing too often."""
    problem: str | None = None


class Lookbacks:
    """Looks back for all viewers, a few at once; the last answers are kept."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="lookback")
        self._known: dict[bytes, Future[Lookback]] = {}
        self._lock = Lock()

    def ask(self, rule: NewRule, until_us: int) -> Future[Lookback]:
        """What ``rule`` would have done in the 30 days up to ``until_us``."""
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
        """Take no more questions; those under way end by their own time limit."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _run(question: Question, asked: bytes) -> Lookback:
    def failed(problem: str) -> Lookback:
        return Lookback(since_us=question.since_us, until_us=question.until_us, problem=problem)

    command = [sys.executable, "-m", __name__]
    try:
        done = subprocess.run(command, input=asked, capture_output=True, timeout=LIMIT_S, check=False)
        return msgspec.json.decode(done.stdout, type=Lookback)
    except subprocess.TimeoutExpired:
        return failed(f"it took longer than {LIMIT_S:.0f} s and was given up; watch one exchange, not all")
    except msgspec.MsgspecError:
        log.exception("looking back failed", said=done.stderr[-2_000:].decode(errors="replace"))
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
        database_url(load_settings()), application_name="coinwatch dashboard, looking back"
    ) as conn:
        await conn.set_read_only(True)
        await conn.execute(roles.TAKE_ON, [roles.READER])
        told = await preview(conn, rule, window)
    return Lookback(
        since_us=window.start_us,
        until_us=window.end_us,
        fired=[Fired(one.ts_us, one.exchange, one.price, one.value) for one in told.firings[-MOST_FIRINGS:]],
        count=len(told.firings),
        first_us=told.firings[0].ts_us if told.firings else 0,
        trades=told.trades,
        candles=told.candles,
        coverage=told.coverage,
        paused=told.paused,
    )


def main() -> None:
    """Answer the question on stdin."""
    os.nice(_NICE)  # the dashboard and the endpoints go first
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    try:
        answer = asyncio.run(_answer(question))
    except CoinwatchError as error:
        answer = Lookback(since_us=question.since_us, until_us=question.until_us, problem=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
