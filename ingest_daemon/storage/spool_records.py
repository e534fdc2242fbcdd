"""The files of a spool: records one after another, each with a mark, its length and a checksum.

The mark lets reading go on behind bytes that a failing disk has changed.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

import msgspec

_MARK = b"\xc6CwS"
_HEADER = struct.Struct("<4sII")
_LENGTH = struct.Struct("<I")
_CHUNK_BYTES = 1 << 20


class Scan(msgspec.Struct, frozen=True):
    """What a file holds. Offsets are in bytes."""

    first: int
    """Of the first whole record; ``end`` when there is none."""
    end: int
    """Of the last whole record; what follows is torn."""
    records: int
    unreadable: int
    """Bytes before or between whole records that belong to none."""


def encode_record(payload: bytes) -> bytes:
    """``payload`` as it is written to a file."""
    return _HEADER.pack(_MARK, len(payload), _checksum(payload)) + payload


def record_at(file: BinaryIO, offset: int, size: int) -> tuple[bytes, int] | None:
    """The payload of the record at ``offset`` and where it ends; None when there is no whole one.

    ``size`` is how much of ``file`` counts.
    """
    header = _bytes_at(file, offset, _HEADER.size)
    if len(header) < _HEADER.size:
        return None
    mark, length, checksum = _HEADER.unpack(header)
    end = offset + _HEADER.size + length
    if mark != _MARK or end > size:
        return None
    payload = _bytes_at(file, offset + _HEADER.size, length)
    if len(payload) < length or _checksum(payload) != checksum:
        return None
    return payload, end


def scan(file: BinaryIO, start: int, size: int) -> Scan:
    """Look at every record from ``start`` on."""
    first: int | None = None
    end, records, unreadable = start, 0, 0
    offset: int | None = start
    while offset is not None:
        found = record_at(file, offset, size)
        if found is None:
            offset = _next_record(file, offset + 1, size)
            continue
        first = offset if first is None else first
        unreadable += offset - end
        records += 1
        offset = end = found[1]
    return Scan(end if first is None else first, end, records, unreadable)


def _next_record(file: BinaryIO, start: int, size: int) -> int | None:
    """The offset of the next whole record at or after ``start``."""
    offset = start
    while offset < size:
        chunk = _bytes_at(file, offset, _CHUNK_BYTES)
        place = chunk.find(_MARK)
        while place >= 0:
            if record_at(file, offset + place, size) is not None:
                return offset + place
            place = chunk.find(_MARK, place + 1)
        if len(chunk) < _CHUNK_BYTES:
            break
        offset += _CHUNK_BYTES - len(_MARK) + 1
    return None


def _checksum(payload: bytes) -> int:
    # The length is part of it: else a run of zeros, as a crash of the machine leaves it, would pass.
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(len(payload))))


def _bytes_at(file: BinaryIO, offset: int, length: int) -> bytes:
    """What can be read: less, or nothing, at the end of ``file`` and where the disk has failed."""
    try:
        file.seek(offset)
        return file.read(length)
    except OSError:
        return b""
