"""How long to wait before each retry. Pure: no I/O, no clock, no sleep."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator

FIRST_S = 0.25
GROWTH = 2.0
CAP_S = 30.0
HEALTHY_S = 60.0
"""An attempt that lasted this long counts as a success: the next wait is a first one again."""


def backoff(
    *,
    first_s: float = FIRST_S,
    cap_s: float = CAP_S,
    healthy_s: float = HEALTHY_S,
    chance: Callable[[], float] = random.random,
) -> Generator[float, float, None]:
    """Yield the wait before each attempt, in seconds, without end.

    ``next`` gives the wait before the first attempt, which is zero. After each attempt, ``send`` how
    many seconds it lasted; the answer is the wait before the next one. Each wait is drawn between half
    and the whole of a length that doubles from ``first_s`` to ``cap_s``, so that many clients of a
    server do not reconnect at the same moment.

    Args:
        first_s: Length of the first wait that is not zero.
        cap_s: Greatest length.
        healthy_s: An attempt that lasted this long resets the length to ``first_s``.
        chance: Returns numbers in [0, 1).
    """
    lasted_s = yield 0.0
    length_s = first_s
    while True:
        if lasted_s >= healthy_s:
            length_s = first_s
        lasted_s = yield length_s * (0.5 + 0.5 * chance())
        length_s = min(length_s * GROWTH, cap_s)
