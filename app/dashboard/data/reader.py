"""Reads shared by every viewer: one query in flight per question, and the last answer kept.

``st.cache_data`` would raise what a read raises and forget the last good value. A page must go on
showing what was last known, with its age, while the database is down or slow, and never wait long.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import structlog

from coinwatch.times import SECOND_US, now_us

T = TypeVar("T")

FIRST_WAIT_S = 6.0
"""How long a page waits for the first answer to a question."""

NEXT_WAIT_S = 0.7
"""How long it waits for a newer answer when there is one to show."""

MOST_QUESTIONS = 256

log = structlog.get_logger()


@dataclass(frozen=True)
class Reading(Generic[T]):
    """An answer: the newest value there is, when it was read, and why there is no newer one."""

    value: T | None
    read_us: int
    """When ``value`` was read; 0 when there is none."""
    problem: str | None = None
    """Why the value is missing or old; None when it is as fresh as asked."""

    @property
    def known(self) -> T:
        """The value. Raises ValueError when nothing was ever read."""
        if self.value is None:
            raise ValueError(self.problem or "nothing read yet")
        return self.value


@dataclass
class _Question:
    value: Any = None
    read_us: int = 0
    tried_us: int = 0
    problem: str | None = None
    flight: Future[None] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Reader:
    """Answers questions by calling functions in a few threads of its own."""

    def __init__(self, describe: Callable[[Exception], str], threads: int = 4) -> None:
        """``describe`` turns what a read raised into a line for people."""
        self._describe = describe
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reads")
        self._questions: OrderedDict[Hashable, _Question] = OrderedDict()
        self._lock = threading.Lock()

    def read(
        self, question: Hashable, ask: Callable[[], T], *, fresh_s: float, first_wait_s: float = FIRST_WAIT_S
    ) -> Reading[T]:
        """The answer to ``question``, at most about ``fresh_s`` old unless it has a problem.

        ``ask`` runs when the last try is older than that, once however many ask at the same time.
        It must not return None.
        """
        entry = self._entry(question)
        with entry.lock:
            if entry.flight is None and now_us() - entry.tried_us >= fresh_s * SECOND_US:
                entry.flight = self._pool.submit(self._ask, question, entry, ask)
            flight = entry.flight
        if flight is not None:
            try:
                flight.result(NEXT_WAIT_S if entry.read_us else first_wait_s)
            except NotYet:
                return Reading(cast("T | None", entry.value), entry.read_us, "the database is slow to answer")
        with entry.lock:
            return Reading(cast("T | None", entry.value), entry.read_us, entry.problem)

    def expire(self, question: Hashable) -> None:
        """Ask again the next time: the answer was just changed by us."""
        entry = self._entry(question)
        with entry.lock:
            entry.tried_us = 0

    def close(self) -> None:
        """Stop taking questions; those in flight end by their own time limit."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _entry(self, question: Hashable) -> _Question:
        with self._lock:
            entry = self._questions.setdefault(question, _Question())
            self._questions.move_to_end(question)
            if len(self._questions) > MOST_QUESTIONS:
                self._questions.popitem(last=False)
            return entry

    def _ask(self, question: Hashable, entry: _Question, ask: Callable[[], Any]) -> None:
        problem = None
        value = None
        try:
            value = ask()
        except Exception as error:  # whatever a driver raises becomes a line on the page
            problem = self._describe(error)
            if entry.problem != problem:
                log.warning("read failed", question=str(question)[:200], error=problem)
        with entry.lock:
            entry.flight, entry.problem, entry.tried_us = None, problem, now_us()
            if problem is None:
                entry.value, entry.read_us = value, entry.tried_us
