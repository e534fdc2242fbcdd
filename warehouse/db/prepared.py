"""Statements prepared once a connection, with encoded parameters: for statements that run a thousand times a
second, where psycopg's own overhead exceeds their cost."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import msgspec
from psycopg import AsyncConnection, errors
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn

from warehouse.db.psycopg_private import fetch_many, send

_prepared: WeakKeyDictionary[AsyncConnection, set[bytes]] = WeakKeyDictionary()
"""The names of the statements prepared on each connection."""


class Prepared(msgspec.Struct, frozen=True):
    """A statement, the type OIDs of its parameters, and whether each is binary."""

    name: bytes
    query: bytes
    types: tuple[int, ...]
    are_binary: tuple[bool, ...]


async def run_prepared(conn: AsyncConnection, statement: Prepared, values: Sequence[bytes]) -> bytes | None:
    """Run ``statement`` as a transaction of its own, in one round trip. Raises psycopg.Error.

    Returns the first column of the first row, as text; None without a row.
    """
    names = _prepared.setdefault(conn, set())
    if statement.name not in names:
        await conn.wait(_prepare(conn.pgconn, statement))
        names.add(statement.name)
    try:
        return await conn.wait(_run(conn.pgconn, statement, values))
    except errors.InvalidSqlStatementName:  # deallocated, which psycopg does at times
        await conn.wait(_prepare(conn.pgconn, statement))
        return await conn.wait(_run(conn.pgconn, statement, values))


def _prepare(pgconn: PGconn, statement: Prepared) -> PQGen[None]:
    pgconn.send_prepare(statement.name, statement.query, statement.types)
    yield from _finish(pgconn)


def _run(pgconn: PGconn, statement: Prepared, values: Sequence[bytes]) -> PQGen[bytes | None]:
    pgconn.send_query_prepared(statement.name, values, statement.are_binary)
    return (yield from _finish(pgconn))


def _finish(pgconn: PGconn) -> PQGen[bytes | None]:
    yield from send(pgconn)
    value: bytes | None = None
    for result in (yield from fetch_many(pgconn)):
        if result.status == ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(result)
        if result.ntuples:
            value = result.get_value(0, 0)
    return value
