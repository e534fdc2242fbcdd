"""A data folder belongs to one ``up``; whatever a killed one leaves ends, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from app.cli.errors import AlreadyRunning
from app.cli.runner import data_folder, marks
from app.cli.runner.data_folder import Record, Stopped, hold, stop
from coinwatch.errors import CoinwatchError
from tests.app.cli.processes import run_coinwatch
from tests.app.cli.runner.small_up import PART, SmallUp, processes
from tests.waiting import eventually_sync

StartUp = Callable[[], SmallUp]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder whose path has a space."""
    return tmp_path / "my data"


@pytest.fixture
def start_up(folder: Path) -> Iterator[StartUp]:
    """Starts an ``up`` on the folder; all is ended after the test."""
    started = []

    def start() -> SmallUp:
        started.append(SmallUp(folder))
        return started[-1]

    yield start
    stop(folder)
    for up in started:
        up.kill()


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """The same program as the part, but not started by ``up``."""
    with subprocess.Popen([sys.executable, "-c", PART], start_new_session=True) as process:
        yield process
        os.killpg(process.pid, signal.SIGKILL)


def held(folder: Path) -> None:
    """Take the folder as ``up`` does, and give it back."""
    with hold(folder, demo=False, notify=lambda _: None):
        pass


def test_all_that_a_killed_up_has_started_ends(
    folder: Path, start_up: StartUp, bystander: subprocess.Popen[bytes]
) -> None:
    up = start_up()
    up.kill()
    eventually_sync(lambda: not processes(up.run))
    assert "was killed: ending what it left" in up.output.read_text()
    eventually_sync(lambda: data_folder.read(folder) is None)
    assert bystander.poll() is None


def test_killed_guard_is_started_again(start_up: StartUp) -> None:
    up = start_up()
    first = up.guard()
    first.kill()
    eventually_sync(lambda: up.guard() != first)
    up.kill()
    eventually_sync(lambda: not processes(up.run))


def test_next_up_ends_what_a_killed_one_left_without_a_guard(start_up: StartUp) -> None:
    up = start_up()
    os.kill(up.guard().pid, signal.SIGSTOP)
    up.kill()
    assert len(processes(up.run)) == 3
    following = start_up()
    assert not processes(up.run)
    ended = f"ended what a killed `coinwatch up` (pid {up.process.pid}) left: part"
    assert ended in following.output.read_text()
    assert following.run != up.run


def test_second_up_is_refused_with_the_pid_of_the_first(folder: Path, start_up: StartUp) -> None:
    up = start_up()
    with pytest.raises(AlreadyRunning, match=rf"\(pid {up.process.pid}\).*coinwatch down"):
        held(folder)
    assert len(processes(up.run)) == 3


def test_down_stops_a_running_up(folder: Path, start_up: StartUp, tmp_path: Path) -> None:
    up = start_up()
    answer = run_coinwatch(tmp_path, "down", "--json", COINWATCH_DATA_DIR=str(folder))
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == {
        "folder": str(folder),
        "up": up.process.pid,
        "killed": False,
        "parts": ["part"],
    }
    assert up.process.wait() == 0
    assert not processes(up.run)


def test_down_ends_what_a_killed_up_left(folder: Path, start_up: StartUp, tmp_path: Path) -> None:
    up = start_up()
    os.kill(up.guard().pid, signal.SIGSTOP)
    up.kill()
    answer = run_coinwatch(tmp_path, "down", COINWATCH_DATA_DIR=str(folder))
    assert (answer.returncode, answer.stdout) == (0, f"Stopped part in {folder}\n"), answer.stderr
    assert not processes(up.run)


def test_down_kills_an_up_that_does_not_stop(
    folder: Path, start_up: StartUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_folder, "STOPS_WITHIN_S", 0.5)
    up = start_up()
    os.kill(up.process.pid, signal.SIGSTOP)
    assert stop(folder) == Stopped(up=up.process.pid, killed=True, parts=("part",))
    assert not processes(up.run)


def test_down_without_anything_to_stop(tmp_path: Path) -> None:
    answer = run_coinwatch(tmp_path, "down")
    assert (answer.returncode, answer.stdout) == (0, f"Nothing was running in {tmp_path / 'data'}\n")
    assert not (tmp_path / "data").exists()


def test_pid_that_another_program_uses_is_left_alone(
    folder: Path, bystander: subprocess.Popen[bytes]
) -> None:
    folder.mkdir()
    stale = Record(run="0" * 16, pid=bystander.pid, started=1.0)
    (folder / "up.json").write_bytes(msgspec.json.encode(stale))
    assert stop(folder) == Stopped()
    held(folder)
    assert bystander.poll() is None


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b"{}", b'{"run": 1}'])
def test_record_damaged_by_a_power_failure_is_ignored(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / "up.json").write_bytes(content)
    held(folder)
    assert data_folder.read(folder) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to another user")
@pytest.mark.parametrize("name", ["up.lock", "up.json"])
def test_root_writes_through_no_link_of_another_user(folder: Path, tmp_path: Path, name: str) -> None:
    folder.mkdir()
    (tmp_path / "elsewhere").write_text("kept")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    for path in (folder, folder / name):
        os.chown(path, 1, 1, follow_symlinks=False)
    with pytest.raises(CoinwatchError, match="is another user's"):
        held(folder)
    (folder / name).unlink()
    assert (tmp_path / "elsewhere").read_text() == "kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to another user")
def test_root_ends_no_process_that_another_user_names(
    folder: Path, bystander: subprocess.Popen[bytes]
) -> None:
    folder.mkdir()
    started = data_folder._start_of(psutil.Process(bystander.pid))
    forged = Record(run="0" * 16, pid=bystander.pid, started=started)
    (folder / "up.json").write_bytes(msgspec.json.encode(forged))
    for path in (folder, folder / "up.json"):
        os.chown(path, 1, 1)
    assert stop(folder) == Stopped()
    held(folder)
    assert bystander.poll() is None


def test_children_keep_the_mark_of_their_part() -> None:
    environment = {**os.environ, **marks.mark("a" * 16, "part")}
    with subprocess.Popen([sys.executable, "-c", PART], env=environment) as process:
        eventually_sync(lambda: len(processes("a" * 16)) == 2)
        assert not processes("b" * 16)
        assert marks.end("a" * 16) == {"part"}
        assert process.wait() == -signal.SIGTERM
    assert not processes("a" * 16)
