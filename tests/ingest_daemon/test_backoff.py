from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ingest_daemon.backoff import backoff
from ingest_daemon.log_throttle import LogThrottle


def test_the_first_wait_is_zero_and_later_ones_double_up_to_the_cap() -> None:
    waits = backoff(first_s=1, cap_s=10, chance=lambda: 1.0)
    assert next(waits) == 0
    assert [waits.send(0) for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_a_long_attempt_resets_the_wait() -> None:
    waits = backoff(first_s=1, cap_s=10, healthy_s=60, chance=lambda: 1.0)
    next(waits)
    assert [waits.send(held) for held in (0, 0, 59.9, 60, 0)] == [1, 2, 4, 1, 2]


@given(st.lists(st.floats(0, 120), min_size=1, max_size=50), st.randoms(use_true_random=False))
def test_every_wait_is_jittered_and_never_over_the_cap(held: list[float], random: Random) -> None:
    waits = backoff(first_s=0.25, cap_s=30, chance=random.random)
    next(waits)
    for held_s in held:
        assert 0.125 <= waits.send(held_s) <= 30


def test_clients_do_not_retry_at_the_same_time() -> None:
    waits = [backoff() for _ in range(20)]
    for generator in waits:
        next(generator)
    firsts = sorted(generator.send(0) for generator in waits)
    assert all(a != b for a, b in pairwise(firsts))


def test_a_burst_logs_first_and_then_once_a_minute_with_the_count() -> None:
    times = [0.0, 1.0, 59.0, 60.0, 61.0, 200.0]
    burst = LogThrottle(quiet_s=60, clock=iter(times).__next__)
    assert [burst.suppressed() for _ in times] == [0, None, None, 2, None, 1]
