"""A connection to Postgres that is opened on first use and reopened after a failure."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy
from psycopg import AsyncConnection

from warehouse.db.connect import connect
from warehouse.db.errors import as_unavailable

STATEMENT_TIMEOUT_S = 15


class Database:
    """Lends its connection, in autocommit mode, to one block at a time."""

    def __init__(self, url: sqlalchemy.URL, application_name: str, *, plans_once: bool = False) -> None:
        """Nothing is opened yet.

        Args:
            url: Where the warehouse is.
            application_name: How the connection is listed in ``pg_stat_activity``.
            plans_once: Plan a prepared statement once for all values; for short statements, which take
                longer to plan than to run.
        """
        self._url = url
        self._plans_once = plans_once
        self._application_name = application_name
        self._turn = asyncio.Lock()
        self._connection: AsyncConnection | None = None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[AsyncConnection]:
        """The connection, for one block. After any error the next block gets a new connection, so that none
        is left in a transaction.

        Raises:
            WarehouseUnavailable: Postgres cannot be reached, stores nothing, or the connection breaks inside.
        """
        async with self._turn:
            try:
                if self._connection is not None and _has_unread(self._connection):
                    await self._drop()
                if self._connection is None:
                    self._connection = await self._open()
                yield self._connection
            except BaseException as error:
                await self._drop()
                unavailable = as_unavailable(error)
                if unavailable is None or unavailable is error:
                    raise
                raise unavailable from error

    async def close(self) -> None:
        """Close the connection. A later ``use`` opens a new one."""
        async with self._turn:
            await self._drop()

    async def _open(self) -> AsyncConnection:
        connection = await connect(self._url, application_name=self._application_name)
        try:
            await connection.execute(f"set statement_timeout = '{STATEMENT_TIMEOUT_S}s'")
            if self._plans_once:
                await connection.execute("set plan_cache_mode = force_generic_plan")
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _has_unread(connection: AsyncConnection) -> bool:
    """Whether unread bytes wait on the socket: nearly always the notice that the server closes it."""
    socket = select.poll()
    socket.register(connection.fileno(), select.POLLIN)
    return bool(socket.poll(0))
