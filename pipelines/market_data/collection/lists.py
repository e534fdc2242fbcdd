"""What exchanges list, and how much each market turns over, as plain async functions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from psycopg import AsyncConnection

from coinwatch.errors import Retryable, SourceError
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Exchange, RestRequest
from sources.http import HttpSource
from warehouse.markets import ListChanges, store_list, store_volumes

WITHIN_S = 120.0
"""How long an answer may take. Backfills of the same exchange may leave no turn for longer."""


class InstrumentList(msgspec.Struct):
    """What asking one exchange for its markets gave."""

    listed: int = 0
    """Markets in its list, traded or not."""
    changes: ListChanges = ListChanges()
    volumes: int = 0
    """Of how many markets it told a volume."""
    error: str | None = None
    """Why it gave no list, and keeps its last."""
    warnings: list[str] = []
    """What else is wrong."""


async def collect_instruments(
    conn: AsyncConnection[Any], clients: Mapping[str, HttpSource], within_s: float = WITHIN_S
) -> dict[str, InstrumentList]:
    """Ask every exchange for its markets and their volumes, and store them; by exchange, in order.

    One that fails does not stop the others, and what was known of it is kept.
    """
    writing = asyncio.Lock()
    async with asyncio.TaskGroup() as tasks:
        asking = {
            name: tasks.create_task(
                _collect(conn, writing, EXCHANGES[name], clients[name], within_s), name=f"markets of {name}"
            )
            for name in sorted(clients)
        }
    return {name: task.result() for name, task in asking.items()}


async def _collect(
    conn: AsyncConnection[Any], writing: asyncio.Lock, exchange: Exchange, client: HttpSource, within_s: float
) -> InstrumentList:
    this = InstrumentList()
    try:
        instruments = exchange.decode_instruments(
            await _answer(client, exchange.instruments_request(), within_s)
        )
    except SourceError as error:
        this.error = str(error)
        return this
    async with writing:
        this.changes = await store_list(conn, exchange.name, instruments)
    this.listed = len(instruments)
    if this.changes.doubted:
        this.warnings.append(
            f"{exchange.name}: its list of {this.listed} lacks {this.changes.doubted} of the markets that "
            "were traded, too many at once to be believed: they stay active"
        )
    request = exchange.volumes_request()
    if request is None:
        return this
    try:
        volumes = exchange.decode_volumes(await _answer(client, request, within_s))
    except SourceError as error:
        this.warnings.append(f"{error}; its last volumes are kept")
        return this
    async with writing:
        await store_volumes(conn, exchange.name, volumes)
    this.volumes = len(volumes)
    return this


async def _answer(client: HttpSource, request: RestRequest, within_s: float) -> bytes:
    """The body. Raises SourceError."""
    try:
        async with asyncio.timeout(within_s):
            return (await client.get(request)).body
    except TimeoutError as error:
        raise Retryable(client.name, f"{request.path}: no answer within {within_s:g} s") from error
