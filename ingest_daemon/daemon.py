"""The ingest daemon: sockets → queue → group commit. How its parts are joined, started and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import groupby

import sqlalchemy
import structlog

from coinwatch.errors import CoinwatchError, WarehouseError
from coinwatch.records import Market
from coinwatch.settings import Settings
from ingest_daemon.board import Board
from ingest_daemon.commit import Committer
from ingest_daemon.http import Health, serve
from ingest_daemon.metrics import Metrics
from ingest_daemon.outage import Outage
from ingest_daemon.queue import TradeQueue
from ingest_daemon.report import Reporter
from ingest_daemon.stream import Stream
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Exchange
from warehouse.connect import connect
from warehouse.markets import ensure_markets

DRAIN_TIMEOUT_S = 8.0
"""How long a stopping daemon tries to store what it holds; the supervisor kills after 10 s."""

log = structlog.get_logger(__name__)


async def run(settings: Settings, url: sqlalchemy.URL, *, stop: asyncio.Event) -> None:
    """Stream ``settings.markets`` into the warehouse until ``stop`` is set; then store what is held.

    Raises SettingsError when the port is taken, WarehouseError when Postgres cannot be reached at
    the start, or is away at the end with trades still held. Outages in between are ridden out.
    """
    async with await connect(url, application_name="coinwatch ingest") as connection:
        market_ids = await ensure_markets(
            connection,
            {market: EXCHANGES[market.exchange].rest_native(market) for market in settings.markets},
        )
    metrics = Metrics()
    queue = TradeQueue()
    board = Board(market_ids)
    outage = Outage(url)
    committer = Committer(url, market_ids, queue, board, metrics, outage)
    reporter = Reporter(url, queue, board, metrics, outage)
    streams = [
        Stream(exchange, markets, settings.ws_url(exchange.name), queue, board, metrics)
        for exchange, markets in _sockets(settings.markets)
    ]

    def health() -> Health:
        return Health(not outage, {"queue": len(queue), "markets": board.states()})

    try:
        async with (
            serve(settings.host, settings.ingest_port, health, metrics.text),
            asyncio.TaskGroup() as tasks,
        ):
            committing = tasks.create_task(committer.run(), name="commit")
            reporting = tasks.create_task(reporter.run(), name="report")
            streaming = [tasks.create_task(stream.run(), name="stream") for stream in streams]
            log.info("started", markets=len(market_ids), sockets=len(streams))
            await stop.wait()
            log.info("stopping", held=len(queue))
            await _cancel(streaming)
            queue.close()
            await _drain(committing, queue)
            await _cancel([reporting])
            await reporter.stopped()
            log.info("stopped")
    except BaseExceptionGroup as group:
        if (ours := group.subgroup(CoinwatchError)) is not None:
            raise _first(ours) from None
        raise
    finally:
        await reporter.close()


def _sockets(markets: Iterable[Market]) -> Iterator[tuple[Exchange, list[Market]]]:
    """The markets of each socket: of one exchange, and no more than it allows."""
    for name, group in groupby(sorted(markets), key=lambda market: market.exchange):
        exchange, of_exchange = EXCHANGES[name], list(group)
        for start in range(0, len(of_exchange), exchange.markets_per_socket):
            yield exchange, of_exchange[start : start + exchange.markets_per_socket]


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def _drain(committing: asyncio.Task[None], queue: TradeQueue) -> None:
    await asyncio.wait({committing}, timeout=DRAIN_TIMEOUT_S)
    if not committing.done():
        raise WarehouseError(
            f"stopped while Postgres was away for {DRAIN_TIMEOUT_S:.0f} s more: "
            f"{len(queue)} queued trades and the batch in hand were not stored"
        )


def _first(group: BaseExceptionGroup[CoinwatchError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
