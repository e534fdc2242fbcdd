"""Statements prepared once a connection and given values already encoded: for what runs a thousand times a
second, where psycopg's own way costs more than the statement."""

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
"""The names of what each connection has prepared."""


class Prepared(msgspec.Struct, frozen=True):
    """A statement, the OIDs of its parameters' types, and whether each is given as binary."""

    name: bytes
    query: bytes
    types: tuple[int, ...]
    are_binary: tuple[bool, ...]


async def run_prepared(conn: AsyncConnection, statement: Prepared, values: Sequence[bytes]) -> bytes | None:
    """Run ``statement`` as a transaction of its own: one round trip. Raises psycopg.Error.

    Returns what it says in the first column of the first row, as text; None where it says nothing.
    """
    names = _prepared.setdefault(conn, set())
    if statement.name not in names:
        await conn.wait(_prepare(conn.pgconn, statement))
        names.add(statement.name)
    try:
        return await conn.wait(_run(conn.pgconn, statement, values))
    except errors.InvalidSqlStatementName:  # forgotten, as psycopg now and then asks for
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
    said: bytes | None = None
    for result in (yield from fetch_many(pgconn)):
        if result.status == ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(result)
        if result.ntuples:
            said = result.get_value(0, 0)
    return said
