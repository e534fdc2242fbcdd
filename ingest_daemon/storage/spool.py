"""Batches on disk while Postgres is unavailable: append-only files, checksummed, fsynced, capped.

A record is opaque bytes here. All calls block on the disk. One thread may append while another takes the
oldest record. Why this is not SQLite: ``docs/decisions/007-spool-format.md``.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections import deque
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from coinwatch.errors import CoinwatchError
from coinwatch.files import make_folder, open_file
from ingest_daemon.storage.spool_records import encode_record, record_at, scan

SEGMENT_BYTES = 64_000_000
NEAR_FULL = 0.8
MB = 1_000_000

Payload = bytes

_POSITION = struct.Struct("<QQ")
_CHECKSUM = struct.Struct("<I")

log = structlog.get_logger(__name__)


class SpoolFull(CoinwatchError):
    """A record could not be stored: the spool has reached its limit, or the disk refuses to write."""


class _Segment(msgspec.Struct):
    """A file of the spool."""

    number: int
    path: Path
    size: int = 0
    """In bytes, up to the end of its last whole record."""
    records: int = 0
    """How many are not dropped yet."""


class Spool:
    """Records in the order of their arrival, in a folder that no other process uses (see ``spool_claim``)."""

    def __init__(self, folder: Path, cap_bytes: int) -> None:
        """Open the files in ``folder``, which is created when missing.

        A record torn by a crash is cut off. Records damaged by the disk are skipped and logged, and the
        file that holds them is kept.

        Args:
            folder: Where the files are.
            cap_bytes: Greatest size of all files together.

        Raises:
            OSError: The folder cannot be used.
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
        make_folder(folder)
        self._position = _Position(folder / "position")
        self._offset = 0
        self._open()

    @property
    def records(self) -> int:
        """How many are stored."""
        return self._records

    @property
    def bytes(self) -> int:
        """Their size."""
        return self._size - self._offset

    @property
    def is_near_full(self) -> bool:
        """Whether NEAR_FULL of the limit is reached."""
        return self._size >= NEAR_FULL * self._cap_bytes

    def append(self, payload: Payload) -> None:
        """Store ``payload``, which is on disk when this returns.

        Raises:
            SpoolFull: It could not be stored; the spool is unchanged.
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
        """Return the oldest record; None when the spool is empty."""
        with self._lock:
            return self._first()

    def drop_first(self) -> None:
        """Remove the oldest record. After a crash of the machine it may be there again."""
        with self._lock:
            if self._first_end is None and self._first() is None:
                return
            assert self._first_end is not None  # noqa: S101  # set by _first
            segment = self._segments[0]
            self._offset, self._first_end = self._first_end, None
            segment.records -= 1
            self._records -= 1
            if segment.records:
                self._position.set(segment.number, self._offset)
            else:
                self._finish(segment)

    def close(self) -> None:
        """Close the files. The next process that opens the folder finds the records."""
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
            first = self._examine(segment, start, is_last=path is paths[-1])
            if not segment.records:
                _forget(segment)
                continue
            if not self._segments:
                self._offset = first
            self._segments.append(segment)
            self._size += segment.size
            self._records += segment.records

    def _examine(self, segment: _Segment, start: int, *, is_last: bool) -> int:
        """Count the records of ``segment`` from ``start`` on; return the offset of the first whole one."""
        size = segment.path.stat().st_size
        with segment.path.open("rb") as file:
            contents = scan(file, min(start, size), size)
        torn = size - contents.end
        unreadable = contents.unreadable
        if torn and is_last:
            _cut(segment.path, contents.end)
            log.warning(
                "cut off a record that a crash interrupted; it had not been confirmed as stored",
                file=str(segment.path),
                bytes=torn,
            )
        else:
            unreadable += torn
        segment.size, segment.records = contents.end, contents.records
        if unreadable:
            _set_aside(segment, unreadable)
        return contents.first

    def _first(self) -> Payload | None:
        while self._records:
            segment = self._segments[0]
            if not segment.records:
                self._finish(segment)
                continue
            with segment.path.open("rb") as file:
                record = record_at(file, self._offset, segment.size)
            if record is not None:
                payload, self._first_end = record
                return payload
            self._skip_damage(segment)
        return None

    def _skip_damage(self, segment: _Segment) -> None:
        with segment.path.open("rb") as file:
            contents = scan(file, self._offset, segment.size)
        _set_aside(segment, contents.unreadable + segment.size - contents.end)
        self._records -= segment.records - contents.records
        segment.records = contents.records
        self._offset = contents.first

    def _finish(self, segment: _Segment) -> None:
        """Remove ``segment``, the oldest, whose records are all dropped."""
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
        self._writer = open_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            sync_folder(self._folder)
        except OSError:
            self._close_writer()
            path.unlink()
            raise
        self._segments.append(_Segment(number, path))

    def _cut_back(self) -> None:
        """Undo the last write to the newest file."""
        if self._writer is None:
            return
        try:
            os.ftruncate(self._writer, self._segments[-1].size)
        except OSError:
            self._close_writer()  # the next record starts a new file; reading stops before the torn one

    def _close_writer(self) -> None:
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None


class _Position:
    """Where the oldest record is, in a file that is overwritten in place.

    It is not fsynced. It survives a crash of the process; after a crash of the machine it may be an older
    position, and some records are delivered twice.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_file(path, os.O_RDWR | os.O_CREAT)

    def get(self) -> tuple[int, int]:
        """Return the number of a file and an offset in it; zeros when no valid position is stored."""
        stored = os.pread(self._file, _POSITION.size + _CHECKSUM.size, 0)
        place, checksum = stored[: _POSITION.size], stored[_POSITION.size :]
        if len(stored) == _POSITION.size + _CHECKSUM.size and checksum == _CHECKSUM.pack(zlib.crc32(place)):
            number, offset = _POSITION.unpack(place)
            return number, offset
        return 0, 0

    def set(self, number: int, offset: int) -> None:
        """Store a position."""
        place = _POSITION.pack(number, offset)
        with suppress(OSError):  # an old position only repeats records
            os.pwrite(self._file, place + _CHECKSUM.pack(zlib.crc32(place)), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def segments_in(folder: Path) -> list[Path]:
    """The files of a spool that hold records, oldest first."""
    return sorted(folder.glob("*.segment"), key=lambda path: int(path.stem))


def _cut(path: Path, size: int) -> None:
    file = open_file(path, os.O_WRONLY)
    try:
        os.ftruncate(file, size)
    finally:
        os.close(file)


def _set_aside(segment: _Segment, unreadable: int) -> None:
    """Keep the file under another name, so that its records can be examined by hand; log it once."""
    aside = segment.path.with_suffix(".damaged")
    with suppress(OSError):
        if aside.exists():
            return
        os.link(segment.path, aside)
    log.error(
        "the disk has damaged records of the spool: they are skipped, and the file is kept",
        file=str(aside),
        bytes=unreadable,
        records_left=segment.records,
    )


def _forget(segment: _Segment) -> None:
    with suppress(OSError):  # the next opening removes it, or delivers its records again
        segment.path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Put the directory entries of ``folder`` on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
