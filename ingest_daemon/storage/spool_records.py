"""The format of a spool file: records in a row, each with a mark, its length and a checksum.

The mark allows reading to resume after bytes that a failing disk has changed.
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
    """The contents of a file. Offsets are in bytes."""

    first: int
    """Of the first whole record; ``end`` when there is none."""
    end: int
    """Of the last whole record; what follows is torn."""
    records: int
    unreadable: int
    """Bytes before or between whole records that belong to none."""


def encode_record(payload: bytes) -> bytes:
    """Encode ``payload`` as a record."""
    return _HEADER.pack(_MARK, len(payload), _checksum(payload)) + payload


def record_at(file: BinaryIO, offset: int, size: int) -> tuple[bytes, int] | None:
    """Return the payload of the record at ``offset`` and where it ends; None when it is not whole.

    ``size`` is how many bytes of ``file`` are valid.
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
    """Examine every record from ``start`` on."""
    first: int | None = None
    end, records, unreadable = start, 0, 0
    offset: int | None = start
    while offset is not None:
        record = record_at(file, offset, size)
        if record is None:
            offset = _next_record(file, offset + 1, size)
            continue
        first = offset if first is None else first
        unreadable += offset - end
        records += 1
        offset = end = record[1]
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
    # It includes the length: otherwise a run of zeros, as a crash of the machine leaves it, would be valid.
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(len(payload))))


def _bytes_at(file: BinaryIO, offset: int, length: int) -> bytes:
    """Read up to ``length`` bytes: fewer, or none, at the end of ``file`` and where the disk has failed."""
    try:
        file.seek(offset)
        return file.read(length)
    except OSError:
        return b""
