"""Collection of the exchanges' market lists and volumes, as plain async functions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
from psycopg import AsyncConnection

from coinwatch.errors import BadMessage, Fatal, Retryable, SourceError
from coinwatch.records import Instrument
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Exchange, RestRequest
from sources.http import HttpSource
from warehouse.markets import ListChanges, store_list, store_volumes

WITHIN_S = 120.0
"""How long an answer may take, waiting for the budget included, which backfills may use up."""


class InstrumentList(msgspec.Struct):
    """The result of collecting the markets of one exchange."""

    listed: int = 0
    """The number of markets in its list, active or not."""
    changes: ListChanges = ListChanges()
    volumes: int = 0
    """The number of markets with a volume."""
    error: str | None = None
    """Why there is no list; the last one is kept."""
    warnings: list[str] = []
    """Other problems."""


async def collect_instruments(
    conn: AsyncConnection[Any], clients: Mapping[str, HttpSource], within_s: float = WITHIN_S
) -> dict[str, InstrumentList]:
    """Fetch and store the markets and volumes of every exchange; returns the results by exchange, sorted.

    A failing exchange does not affect the others and keeps its last list.
    """
    writing = asyncio.Lock()
    async with asyncio.TaskGroup() as tasks:
        running = {
            name: tasks.create_task(
                _collect(conn, writing, EXCHANGES[name], clients[name], within_s), name=f"markets of {name}"
            )
            for name in sorted(clients)
        }
    return {name: task.result() for name, task in running.items()}


async def _collect(
    conn: AsyncConnection[Any], writing: asyncio.Lock, exchange: Exchange, client: HttpSource, within_s: float
) -> InstrumentList:
    result = InstrumentList()
    try:
        instruments = await _instruments(exchange, client, within_s)
    except SourceError as error:
        result.error = str(error)
        return result
    async with writing:
        result.changes = await store_list(conn, exchange.name, instruments)
    result.listed = len(instruments)
    if result.changes.doubted:
        result.warnings.append(
            f"{exchange.name}: {result.changes.doubted} active markets are absent from its list of "
            f"{result.listed}, too many at once to be plausible: they stay active"
        )
    request = exchange.volumes_request()
    if request is None:
        return result
    try:
        volumes = exchange.decode_volumes(await _answer(client, request, within_s))
    except SourceError as error:
        result.warnings.append(f"{error}; its last volumes are kept")
        return result
    async with writing:
        await store_volumes(conn, exchange.name, volumes)
    result.volumes = len(volumes)
    return result


async def _instruments(exchange: Exchange, client: HttpSource, within_s: float) -> list[Instrument]:
    """The markets by the first request that the exchange answers with a list. Raises SourceError."""
    *better, plainest = exchange.instruments_requests()
    for request in better:
        with suppress(Fatal, BadMessage):
            return exchange.decode_instruments(await _answer(client, request, within_s))
    return exchange.decode_instruments(await _answer(client, plainest, within_s))


async def _answer(client: HttpSource, request: RestRequest, within_s: float) -> bytes:
    """The body of the answer. Raises SourceError."""
    try:
        async with asyncio.timeout(within_s):
            return (await client.get(request)).body
    except TimeoutError as error:
        raise Retryable(client.name, f"{request.path}: no answer within {within_s:g} s") from error
