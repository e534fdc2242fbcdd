from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from app.dashboard.data import reader as readers
from app.dashboard.data.reader import Reader
from tests.waiting import eventually_sync


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader(lambda error: f"failed: {error}")
    yield reader
    reader.close()


def boom() -> int:
    raise OSError("gone")


def test_an_answer_is_kept_while_fresh(reader: Reader) -> None:
    answers = iter([1, 2])
    assert reader.read("a", lambda: next(answers), fresh_s=60).value == 1
    assert reader.read("a", lambda: next(answers), fresh_s=60).value == 1
    assert reader.read("b", lambda: next(answers), fresh_s=60).value == 2


def test_an_old_answer_is_asked_again(reader: Reader) -> None:
    answers = iter([1, 2])
    assert reader.read("a", lambda: next(answers), fresh_s=0).value == 1
    assert reader.read("a", lambda: next(answers), fresh_s=0).value == 2


def test_what_we_changed_is_asked_again(reader: Reader) -> None:
    answers = iter([1, 2])
    assert reader.read("a", lambda: next(answers), fresh_s=60).value == 1
    reader.expire("a")
    assert reader.read("a", lambda: next(answers), fresh_s=60).value == 2


def test_many_viewers_ask_once(reader: Reader) -> None:
    asked: list[int] = []
    go = threading.Event()

    def ask() -> int:
        asked.append(1)
        go.wait(5)
        return 7

    values: list[int | None] = []
    viewers = [
        threading.Thread(target=lambda: values.append(reader.read("a", ask, fresh_s=60).value))
        for _ in range(8)
    ]
    for viewer in viewers:
        viewer.start()
    eventually_sync(lambda: asked)
    go.set()
    for viewer in viewers:
        viewer.join()
    assert (values, asked) == ([7] * 8, [1])


def test_a_failure_keeps_the_last_answer_and_recovers(reader: Reader) -> None:
    assert reader.read("a", lambda: 1, fresh_s=0).problem is None
    failed = reader.read("a", boom, fresh_s=0)
    assert (failed.value, failed.known, failed.problem) == (1, 1, "failed: gone")
    assert failed.read_us > 0
    recovered = reader.read("a", lambda: 2, fresh_s=0)
    assert (recovered.value, recovered.problem) == (2, None)


def test_a_failure_is_not_repeated_at_once(reader: Reader) -> None:
    assert reader.read("a", boom, fresh_s=60).problem == "failed: gone"
    assert reader.read("a", lambda: 1, fresh_s=60).problem == "failed: gone"


def test_known_raises_with_the_reason_without_a_value(reader: Reader) -> None:
    failed = reader.read("a", boom, fresh_s=60)
    assert (failed.value, failed.read_us) == (None, 0)
    with pytest.raises(ValueError, match="failed: gone"):
        _ = failed.known


def test_a_slow_answer_is_not_waited_for(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "NEXT_WAIT_S", 0.05)
    assert reader.read("a", lambda: 1, fresh_s=0).value == 1
    go = threading.Event()

    def slow() -> int:
        go.wait(60)
        return 2

    started = time.monotonic()
    waiting = reader.read("a", slow, fresh_s=0)
    assert time.monotonic() - started < 30
    assert waiting.value == 1
    assert waiting.problem == "the database is slow to answer"
    go.set()
    eventually_sync(lambda: reader.read("a", slow, fresh_s=60).value == 2)


def test_questions_are_bounded(reader: Reader) -> None:
    for number in range(readers.MOST_QUESTIONS + 50):
        reader.read(number, lambda: 1, fresh_s=60)
    again = iter([9])
    assert reader.read(0, lambda: next(again), fresh_s=60).value == 9
