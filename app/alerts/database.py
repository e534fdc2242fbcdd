"""One connection to Postgres, opened when it is needed and again after it was lost."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import sqlalchemy
from psycopg import AsyncConnection

from coinwatch.errors import WarehouseError
from warehouse.db.connect import connect

STATEMENT_TIMEOUT_S = 15


class Database:
    """Hands its connection to one user at a time, in autocommit mode."""

    def __init__(self, url: sqlalchemy.URL, application_name: str, *, plans_once: bool = False) -> None:
        """``plans_once``: a prepared statement is planned once for all values, where planning takes longer
        than running."""
        self._url = url
        self._plans_once = plans_once
        self._application_name = application_name
        self._turn = asyncio.Lock()
        self._connection: AsyncConnection | None = None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[AsyncConnection]:
        """The connection. Raises WarehouseError when Postgres cannot be reached or the connection breaks.

        After any error the next user gets a new connection, so that none is left in a transaction.
        """
        async with self._turn:
            try:
                if self._connection is not None and _has_unread(self._connection):
                    await self._drop()
                if self._connection is None:
                    self._connection = await self._open()
                yield self._connection
            except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError) as error:
                await self._drop()
                raise WarehouseError(f"the connection to Postgres broke: {error}") from error
            except BaseException:
                await self._drop()
                raise

    async def close(self) -> None:
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
    """Whether the server has said something unasked, which is nearly always that it ends the connection."""
    socket = select.poll()
    socket.register(connection.fileno(), select.POLLIN)
    return bool(socket.poll(0))
