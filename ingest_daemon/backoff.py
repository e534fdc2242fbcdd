"""How long to wait before trying again. Pure: no clock, no sleep."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator

FIRST_S = 0.25
GROWTH = 2.0
CAP_S = 30.0
HEALTHY_S = 60.0
"""A try that held this long was well: the wait after it is a first one again."""


def backoff(
    *,
    first_s: float = FIRST_S,
    cap_s: float = CAP_S,
    healthy_s: float = HEALTHY_S,
    chance: Callable[[], float] = random.random,
) -> Generator[float, float, None]:
    """Waits before each try, in seconds, for ever.

    ``next`` gives the wait before the first try, which is none; after a try, ``send`` how long it
    held and get the wait before the next. Each lies between half and the whole of a length that
    doubles from ``first_s`` to ``cap_s``, so that many clients of one server do not come back
    together. ``chance`` gives numbers in [0, 1).
    """
    held_s = yield 0.0
    length_s = first_s
    while True:
        if held_s >= healthy_s:
            length_s = first_s
        held_s = yield length_s * (0.5 + 0.5 * chance())
        length_s = min(length_s * GROWTH, cap_s)
