"""Batches on disk while Postgres is away: append-only files, checksummed, fsynced, capped.

Records are bytes that mean nothing here. All calls block on the disk. One thread may append while
another takes the oldest.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import struct
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
import structlog

from coinwatch.errors import CoinwatchError, SettingsError
from ingest_daemon.storage.spool_records import encode_record, record_at, scan

SEGMENT_BYTES = 64_000_000
NEAR_FULL = 0.8
MB = 1_000_000

Payload = bytes

_POSITION = struct.Struct("<QQ")
_CHECKSUM = struct.Struct("<I")
_LOCK = "lock"

log = structlog.get_logger(__name__)


class SpoolFull(CoinwatchError):
    """A record could not be kept: the spool is as large as it may be, or the disk refuses."""


class _Segment(msgspec.Struct):
    """A file of the spool."""

    number: int
    path: Path
    size: int = 0
    """In bytes, up to the end of its last whole record."""
    records: int = 0
    """Not yet dropped."""


class Spool:
    """Records in the order they came, in a folder that nobody else uses (see ``claim``)."""

    def __init__(self, folder: Path, cap_bytes: int) -> None:
        """Open what is there. Raises OSError when ``folder`` cannot be used.

        What a crash has torn is cut off; what the disk has damaged is left out, kept aside and logged.
        """
        self._folder = folder
        self._cap_bytes = cap_bytes
        self._segment_bytes = min(SEGMENT_BYTES, cap_bytes // 8)
        self._lock = threading.Lock()
        self._segments: deque[_Segment] = deque()
        self._writer: int | None = None
        self._first_end: int | None = None
        self._records = 0
        self._size = 0
        self._has_warned = False
        folder.mkdir(parents=True, exist_ok=True)
        self._position = _Position(folder / "position")
        self._offset = 0
        self._open()

    @property
    def records(self) -> int:
        """How many wait."""
        return self._records

    @property
    def bytes(self) -> int:
        """How much waits."""
        return self._size - self._offset

    @property
    def is_near_full(self) -> bool:
        return self._size >= NEAR_FULL * self._cap_bytes

    def append(self, payload: Payload) -> None:
        """Keep ``payload``: it is on disk when this returns.

        Raises SpoolFull, and then nothing has changed.
        """
        record = encode_record(payload)
        with self._lock:
            if self._size + len(record) > self._cap_bytes:
                raise SpoolFull(
                    f"the spool {self._folder} has reached its {self._cap_bytes / MB:g} MB: "
                    "bring Postgres back, or raise COINWATCH_SPOOL_MAX_MB"
                )
            try:
                segment = self._write(record)
            except OSError as error:
                self._cut_back()
                raise SpoolFull(
                    f"the spool {self._folder} cannot be written: {error.strerror}; free space on its "
                    f"disk (COINWATCH_SPOOL_MAX_MB, now {self._cap_bytes / MB:g}, is the most it takes)"
                ) from error
            segment.size += len(record)
            segment.records += 1
            self._size += len(record)
            self._records += 1
            if self.is_near_full and not self._has_warned:
                self._has_warned = True
                log.warning(
                    "the spool is nearly full; when it is, sockets wait: bring Postgres back, "
                    "or raise COINWATCH_SPOOL_MAX_MB",
                    folder=str(self._folder),
                    mb=round(self._size / MB),
                    most_mb=round(self._cap_bytes / MB),
                )

    def first(self) -> Payload | None:
        """The oldest record that was not dropped, None when nothing waits."""
        with self._lock:
            return self._first()

    def drop_first(self) -> None:
        """Forget the oldest record. After a crash of the machine it may be there again."""
        with self._lock:
            if self._first_end is None and self._first() is None:
                return
            assert self._first_end is not None  # noqa: S101  # set by finding a first record
            segment = self._segments[0]
            self._offset, self._first_end = self._first_end, None
            segment.records -= 1
            self._records -= 1
            if segment.records:
                self._position.set(segment.number, self._offset)
            else:
                self._finish(segment)

    def close(self) -> None:
        """Close the files. What waits is there for the next who opens the folder."""
        with self._lock:
            self._close_writer()
            self._position.close()

    def _open(self) -> None:
        number, offset = self._position.get()
        self._next_number = number
        paths = segments_in(self._folder)
        for path in paths:
            segment = _Segment(int(path.stem), path)
            self._next_number = max(self._next_number, segment.number + 1)
            if segment.number < number:
                _forget(segment)
                continue
            start = offset if segment.number == number else 0
            found = self._examine(segment, start, is_last=path is paths[-1])
            if not segment.records:
                _forget(segment)
                continue
            if not self._segments:
                self._offset = found
            self._segments.append(segment)
            self._size += segment.size
            self._records += segment.records

    def _examine(self, segment: _Segment, start: int, *, is_last: bool) -> int:
        """Count what ``segment`` holds from ``start`` on; returns where its first whole record is."""
        size = segment.path.stat().st_size
        with segment.path.open("rb") as file:
            found = scan(file, min(start, size), size)
        torn = size - found.end
        unreadable = found.unreadable
        if torn and is_last:
            os.truncate(segment.path, found.end)
            log.warning(
                "a record that was being written in a crash is cut off; it had not been taken for stored",
                file=str(segment.path),
                bytes=torn,
            )
        else:
            unreadable += torn
        segment.size, segment.records = found.end, found.records
        if unreadable:
            _set_aside(segment, unreadable)
        return found.first

    def _first(self) -> Payload | None:
        while self._records:
            segment = self._segments[0]
            if not segment.records:
                self._finish(segment)
                continue
            with segment.path.open("rb") as file:
                found = record_at(file, self._offset, segment.size)
            if found is not None:
                payload, self._first_end = found
                return payload
            self._skip_damage(segment)
        return None

    def _skip_damage(self, segment: _Segment) -> None:
        with segment.path.open("rb") as file:
            found = scan(file, self._offset, segment.size)
        _set_aside(segment, found.unreadable + segment.size - found.end)
        self._records -= segment.records - found.records
        segment.records = found.records
        self._offset = found.first

    def _finish(self, segment: _Segment) -> None:
        """``segment``, the oldest, has nothing more to give."""
        if segment is self._segments[-1]:
            self._close_writer()
        self._segments.popleft()
        self._size -= segment.size
        self._offset = 0
        self._has_warned = self._has_warned and bool(self._records)
        self._position.set(segment.number + 1, 0)
        _forget(segment)

    def _write(self, record: Payload) -> _Segment:
        if self._writer is None or self._segments[-1].size >= self._segment_bytes:
            self._close_writer()
            self._start_segment()
        assert self._writer is not None  # noqa: S101  # just made
        segment = self._segments[-1]
        rest, place = memoryview(record), segment.size
        while rest:
            written = os.pwrite(self._writer, rest, place)
            rest, place = rest[written:], place + written
        os.fsync(self._writer)
        return segment

    def _start_segment(self) -> None:
        number, self._next_number = self._next_number, self._next_number + 1
        path = self._folder / f"{number:08}.segment"
        self._writer = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _sync_folder(self._folder)
        except OSError:
            self._close_writer()
            path.unlink()
            raise
        self._segments.append(_Segment(number, path))

    def _cut_back(self) -> None:
        """Leave the file that is being written as it was before the last write to it."""
        if self._writer is None:
            return
        try:
            os.ftruncate(self._writer, self._segments[-1].size)
        except OSError:
            self._close_writer()  # the next record begins another file; reading ends before the torn one

    def _close_writer(self) -> None:
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None


class _Position:
    """Where the oldest record is, kept in a file that is overwritten in place.

    It is not fsynced: it survives the death of the process; after that of the machine it may be an
    older one, and some records come twice.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def get(self) -> tuple[int, int]:
        """Number of the file and offset in it; the very beginning when nothing valid is there."""
        stored = os.pread(self._file, _POSITION.size + _CHECKSUM.size, 0)
        place, checksum = stored[: _POSITION.size], stored[_POSITION.size :]
        if len(stored) == _POSITION.size + _CHECKSUM.size and checksum == _CHECKSUM.pack(zlib.crc32(place)):
            number, offset = _POSITION.unpack(place)
            return number, offset
        return 0, 0

    def set(self, number: int, offset: int) -> None:
        place = _POSITION.pack(number, offset)
        with suppress(OSError):  # an old position only repeats records
            os.pwrite(self._file, place + _CHECKSUM.pack(zlib.crc32(place)), 0)

    def close(self) -> None:
        os.close(self._file)


class SpoolClaim(msgspec.Struct, frozen=True):
    """The spools that this process alone may use."""

    own: Spool
    orphans: list[Spool]
    """What daemons that are gone could not store; nobody adds to them."""


@contextmanager
def claim(data_dir: Path, cap_bytes: int) -> Iterator[SpoolClaim]:
    """Lock the first spool in ``data_dir`` that no living process has, and all that hold orphaned records.

    Raises SettingsError when the folder cannot be used.
    """
    root = data_dir / "spool"
    with ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            # Who looks for a spool locks each for a moment: one after the other, or they see ghosts.
            with _locked(root / _LOCK):
                own = next(folder for folder in _folders(root) if _try_lock(folder, stack))
                others = sorted({path.parent for path in root.glob("*/*.segment")} - {own})
                orphans = [folder for folder in others if _try_lock(folder, stack)]
            spools = [Spool(folder, cap_bytes) for folder in (own, *orphans)]
        except OSError as error:
            raise SettingsError(
                f"COINWATCH_DATA_DIR: the spool in {root} cannot be used: {error.strerror}"
            ) from error
        for spool in spools:
            stack.callback(spool.close)
        yield SpoolClaim(spools[0], [spool for spool in spools[1:] if spool.records])


def segments_in(folder: Path) -> list[Path]:
    """The files of a spool that hold records, the oldest first."""
    return sorted(folder.glob("*.segment"), key=lambda path: int(path.stem))


def _folders(root: Path) -> Iterator[Path]:
    for number in itertools.count():
        folder = root / str(number)
        folder.mkdir(exist_ok=True)
        _sync_folder(root)
        yield folder


def _try_lock(folder: Path, stack: ExitStack) -> bool:
    """Whether nobody has ``folder``; then it is ours until ``stack`` is left, or this process ends."""
    file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    stack.callback(os.close, file)
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _set_aside(segment: _Segment, unreadable: int) -> None:
    """Keep the file, whatever becomes of the spool, for who wants to see what can be saved; say so once."""
    aside = segment.path.with_suffix(".damaged")
    with suppress(OSError):
        if aside.exists():
            return
        os.link(segment.path, aside)
    log.error(
        "the disk has damaged records of the spool: they are left out, and the file is kept",
        file=str(aside),
        bytes=unreadable,
        records_left=segment.records,
    )


def _forget(segment: _Segment) -> None:
    with suppress(OSError):  # what cannot be removed is removed, or only repeated, at the next opening
        segment.path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
