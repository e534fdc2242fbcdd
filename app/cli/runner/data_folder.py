"""A data folder belongs to a single ``coinwatch up``: its lock, its record, and what a killed one left.

``up.lock`` is locked while ``up`` runs, and while what a killed ``up`` left is ended. ``up.json`` names the
``up`` that started last; it is removed when nothing of it is left. A child that was forked but has not
started its program yet shares the lock, so that the next holder sees every process of the last run.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from app.cli.errors import AlreadyRunning
from app.cli.runner import marks
from coinwatch.errors import CoinwatchError
from coinwatch.files import make_folder, open_file, write_text
from warehouse.db.connect import embedded_in

POSTGRES = "postgres"
GUARD = "guard"
"""Names of what ``up`` runs beside its parts."""
REFUSED_AFTER_S = 2.0
"""An ``up`` that was killed just now may still be exiting."""
ENDED_WITHIN_S = 200.0
"""Time to end what a killed ``up`` left: its parts, then Postgres, which first writes what it holds."""
STOPS_WITHIN_S = 90.0
"""Time for ``up`` to stop after SIGTERM before it is killed."""
_POLL_S = 0.1


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The last ``coinwatch up`` on a data folder."""

    run: str
    """Marks its processes; see ``marks``."""
    pid: int
    started: float
    """When its process started, on the clock of ``_start_of``."""

    def process(self) -> psutil.Process | None:
        """Its process, None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            is_it = _start_of(process) == self.started and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return None
        return process if is_it else None


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """What ``stop`` has ended."""

    up: int | None = None
    """The pid of ``up``."""
    killed: bool = False
    """Whether ``up`` did not stop by itself."""
    parts: tuple[str, ...] = ()
    """Names of parts, Postgres included."""


@contextmanager
def hold(folder: Path, *, demo: bool, notify: Callable[[str], None]) -> Iterator[str]:
    """Hold a data folder for a ``coinwatch up``, after ending what a killed one left.

    Args:
        folder: The data folder, created if needed.
        demo: Whether it is the demo's, for the hint of an error.
        notify: Receives what it waits for and what it has ended, for people.

    Yields:
        The id of the run, for ``marks.mark``. What has that mark is ended with the block.

    Raises:
        AlreadyRunning: Another ``up`` runs on the folder.
        CoinwatchError: The folder cannot be used, or what is left there cannot be ended.
    """
    with _locked(folder, demo=demo, notify=notify):
        if (left := read(folder)) is not None:
            if parts := sorted(marks.end(left.run) - {GUARD}):
                notify(f"ended what a killed `coinwatch up` (pid {left.pid}) left: {', '.join(parts)}")
            server = embedded_in(folder)
            if not server.is_running():  # one that answers is used as it is, perhaps by others already
                server.stop()
        run = secrets.token_hex(8)
        own = psutil.Process()
        _write(folder, Record(run=run, pid=own.pid, started=_start_of(own)))
        try:
            yield run
        finally:
            marks.end(run)
            _remove(folder)


def end_after(folder: Path, run: str) -> None:
    """End what is left of a run whose ``up`` has been killed, Postgres included.

    Does nothing when another command has done so. Raises as ``hold``.
    """
    try:
        with _locked(folder, dead=run):
            left = read(folder)
            if left is not None and left.run == run:
                _end(folder)
    except AlreadyRunning:
        return  # which ended it before it started


def stop(folder: Path) -> Stopped:
    """Stop the ``up`` of a data folder, what a killed one left, and the embedded Postgres.

    Raises:
        CoinwatchError: Something cannot be ended.
    """
    if not folder.is_dir():
        return Stopped()
    parts = {POSTGRES} if embedded_in(folder).is_running() else set()
    record = read(folder)
    up = record.process() if record else None
    killed = False
    if record and up:
        parts |= marks.parts_of(record.run)
        killed = _end_up(record, up)
    with _locked(folder, dead=record.run if record else None):
        parts |= _end(folder)
    return Stopped(up=up.pid if up else None, killed=killed, parts=tuple(sorted(parts - {GUARD})))


def _end(folder: Path) -> set[str]:
    """End what a killed ``up`` left, and Postgres, with the lock held. Returns the names of the parts."""
    left = read(folder)
    ended = marks.end(left.run) if left else set()
    if embedded_in(folder).stop():
        ended.add(POSTGRES)
    _remove(folder)
    return ended


def read(folder: Path) -> Record | None:
    """The record of a data folder, None when there is none, or when another user could have forged it.

    By what it names we end processes.
    """
    try:
        with os.fdopen(open_file(folder / "up.json", os.O_RDONLY), "rb") as file:
            if os.fstat(file.fileno()).st_uid not in (0, os.geteuid()):
                return None
            return msgspec.json.decode(file.read(), type=Record)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    except OSError as error:
        raise _unusable(folder, error) from error


def _end_up(record: Record, up: psutil.Process) -> bool:
    """End an ``up``. Returns whether it had to be killed."""
    try:
        up.terminate()
        if _has_ended(record):
            return False
        up.kill()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied as error:
        raise CoinwatchError(
            f"`coinwatch up` (pid {up.pid}) is another user's: stop it as that user or as root"
        ) from error
    if not _has_ended(record):
        raise CoinwatchError(f"`coinwatch up` (pid {up.pid}) does not end on SIGKILL")
    return True


def _has_ended(record: Record) -> bool:
    """Wait for the end of an ``up``. Also true when its parent has not collected its exit code yet."""
    deadline = time.monotonic() + STOPS_WITHIN_S
    while record.process() is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


@contextmanager
def _locked(
    folder: Path,
    *,
    demo: bool = False,
    dead: str | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Hold the lock of a data folder; wait while another command ends what a killed ``up`` left.

    Args:
        folder: The data folder.
        demo: As for ``hold``.
        dead: A run whose ``up`` has ended, or is about to.
        notify: As for ``hold``.

    Raises:
        AlreadyRunning: Another ``up`` holds it.
        CoinwatchError: The folder cannot be used, or does not become free.
    """
    try:
        make_folder(folder)
        lock = open_file(folder / "up.lock", os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        started, is_waiting = time.monotonic(), False
        while not _try_lock(lock, folder):
            waited_s = time.monotonic() - started
            if waited_s > REFUSED_AFTER_S:
                record = read(folder)
                if record and record.run != dead and record.process():
                    raise AlreadyRunning(record.pid, folder, demo=demo)
                if not is_waiting:
                    notify("waiting for the end of what a killed `coinwatch up` left")
                    is_waiting = True
            if waited_s > ENDED_WITHIN_S:
                raise CoinwatchError(
                    f"{folder} is in use by a `coinwatch` that does not end, or that runs in another "
                    "container or on another machine: stop it, or set COINWATCH_DATA_DIR to another folder"
                )
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(lock)


def _try_lock(lock: int, folder: Path) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _unusable(folder, error) from error
    return True


def _write(folder: Path, record: Record) -> None:
    """Replace the record at once: a reader sees a whole record or none."""
    try:
        write_text(folder / "up.json", msgspec.json.encode(record).decode())
    except OSError as error:
        raise _unusable(folder, error) from error


def _remove(folder: Path) -> None:
    (folder / "up.json").unlink(missing_ok=True)


def _start_of(process: psutil.Process) -> float:
    """When a process started: in seconds since boot on Linux, so that setting the clock changes nothing."""
    created_s = process.create_time()
    return round(created_s - psutil.boot_time() if psutil.LINUX else created_s, 2)


def _unusable(folder: Path, error: OSError) -> CoinwatchError:
    if isinstance(error, PermissionError):
        return CoinwatchError(
            f"{error.filename or folder} is another user's: run as the user who made {folder}, "
            "or set COINWATCH_DATA_DIR to a folder of your own"
        )
    return CoinwatchError(f"the data folder {folder} cannot be used: {error}")
