"""COPY in one message with the statements after it: half the round trips of a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import AsyncConnection, errors
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn

from warehouse.db.psycopg_private import fetch_many, send

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
"""What comes before and after the rows of a binary COPY."""

_CHUNK_BYTES = 64 * 1024


async def copy_in(conn: AsyncConnection, statements: Sequence[str], data: bytearray) -> None:
    """Run ``statements``; the first is a COPY … FROM STDIN that reads ``data``.

    Outside of a transaction they form one: all take effect, or none. Nothing in them is quoted or
    prepared. Raises psycopg.Error.
    """
    await conn.wait(_copy_in(conn.pgconn, "; ".join(statements).encode(), data))


def _copy_in(pgconn: PGconn, query: bytes, data: bytearray) -> PQGen[None]:
    pgconn.send_query(query)
    yield from send(pgconn)
    results = yield from fetch_many(pgconn)
    if results and results[-1].status == ExecStatus.COPY_IN:
        view = memoryview(data)
        for start in range(0, len(data), _CHUNK_BYTES):
            if start:
                yield from send(pgconn)
            pgconn.put_copy_data(view[start : start + _CHUNK_BYTES])
        pgconn.put_copy_end()
        yield from send(pgconn)
        results = yield from fetch_many(pgconn)
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(result)
