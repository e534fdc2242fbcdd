"""Waiting for a condition instead of a fixed time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")

_POLL_S = 0.02


@overload
async def eventually(check: Callable[[], Awaitable[T]], timeout_s: float = 60) -> T: ...


@overload
async def eventually(check: Callable[[], T], timeout_s: float = 60) -> T: ...


async def eventually(check: Callable[[], T | Awaitable[T]], timeout_s: float = 60) -> T:
    """Call ``check`` until it returns a truthy value, and return that. Errors it raises count as falsy.

    Raises:
        AssertionError: Not within ``timeout_s``; carries the last value or error.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        last: object
        try:
            async with asyncio.timeout_at(_loop_time(deadline)):
                answer = check()
                value: T = await answer if inspect.isawaitable(answer) else answer
            if value:
                return value
            last = value
        except Exception as error:  # it may succeed later
            last = error
        _give_up(deadline, timeout_s, last)
        await asyncio.sleep(_POLL_S)


def eventually_sync(check: Callable[[], T], timeout_s: float = 60) -> T:
    """``eventually`` for tests without an event loop."""
    deadline = time.monotonic() + timeout_s
    while True:
        last: object
        try:
            value = check()
            if value:
                return value
            last = value
        except Exception as error:  # it may succeed later
            last = error
        _give_up(deadline, timeout_s, last)
        time.sleep(_POLL_S)


def _give_up(deadline: float, timeout_s: float, last: object) -> None:
    if time.monotonic() < deadline:
        return
    message = f"not within {timeout_s:g} s; last: {last!r}"
    if isinstance(last, Exception):
        raise AssertionError(message) from last
    raise AssertionError(message)


def _loop_time(deadline: float) -> float:
    return asyncio.get_running_loop().time() + max(0.0, deadline - time.monotonic())
