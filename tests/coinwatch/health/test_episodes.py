"""What is logged of something that fails again and again: its beginning, new reasons and its end."""

from __future__ import annotations

from coinwatch.health.episodes import MOST_REASONS, Episode, Recovery


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_reason_is_logged_once_and_so_is_the_end() -> None:
    clock = Clock()
    episode = Episode(settled_s=5, clock=clock)
    assert episode.worked() is None
    assert not episode
    assert episode.failed("silent for 31 s")
    assert episode
    clock.now_s = 160
    assert not episode.failed("silent for 32.5 s")
    assert episode.worked() is None
    clock.now_s = 166
    assert episode.worked() == Recovery(lasted_s=60, failures=2)
    assert episode.worked() is None
    assert episode.failed("silent for 9 s")


def test_another_reason_is_logged() -> None:
    episode = Episode()
    assert episode.failed("connection refused")
    assert episode.failed("no answer in time")
    assert not episode.failed("connection refused")


def test_alternating_success_and_failure_is_logged_once() -> None:
    clock = Clock()
    episode = Episode(settled_s=5, clock=clock)
    logged = 0
    for _ in range(100):
        logged += episode.failed("disk full")
        clock.now_s += 4
        logged += episode.worked() is not None
    assert logged == 1


def test_ever_new_reasons_are_not_all_logged() -> None:
    episode = Episode()
    assert sum(episode.failed("x" * length) for length in range(100)) == MOST_REASONS
