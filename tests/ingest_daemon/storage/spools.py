"""A spool to test, and its contents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest_daemon.storage.spool import Spool

CAP_BYTES = 100_000_000


@contextmanager
def opened(folder: Path, cap_bytes: int = CAP_BYTES) -> Iterator[Spool]:
    spool = Spool(folder, cap_bytes)
    try:
        yield spool
    finally:
        spool.close()


def drained(spool: Spool) -> list[bytes]:
    payloads = []
    while (payload := spool.first()) is not None:
        payloads.append(payload)
        spool.drop_first()
    return payloads
