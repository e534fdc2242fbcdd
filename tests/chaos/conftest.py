"""A server as it is shipped, and a database on it for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from coinwatch.records import Market
from simulator.markets import sim_markets
from simulator.server import Simulator
from tests.chaos.ground import Ground, busiest
from warehouse.db.connect import conninfo
from warehouse.db.migrate import upgrade
from warehouse.embedded.server import EmbeddedPostgres

MakeGround = Callable[..., AbstractAsyncContextManager[Ground]]


@pytest.fixture(scope="session")
def lasting_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server with durable settings, and a migrated database to copy."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("chaos"))
    server.start()
    try:
        upgrade(server.url())
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def ground(lasting_postgres: EmbeddedPostgres, _numbers: Iterator[int], tmp_path: Path) -> MakeGround:
    """``async with ground(trades_per_s=…) as place``: everything but the daemons.

    ``markets`` defaults to the busiest of each exchange. Together they make ``trades_per_s``.
    """
    name = f"chaos_{next(_numbers)}"
    server = lasting_postgres

    @asynccontextmanager
    async def prepared(*, trades_per_s: float, markets: Sequence[str] = ()) -> AsyncIterator[Ground]:
        wanted = [Market.canonical(market) for market in markets] or busiest()
        rates = {market: sim.trades_per_s for market, sim in sim_markets(1.0).items()}
        share = sum(rates[market] for market in wanted)
        _administer(server, "create database {} template coinwatch", name)
        async with Simulator(trades_per_s=trades_per_s / share) as simulator:
            place = Ground(tmp_path, server, name, simulator, wanted)
            try:
                yield place
            finally:
                await place.end()
                server.start()
                _administer(server, "drop database {} with (force)", name)

    return prepared


def _administer(server: EmbeddedPostgres, statement: str, database: str) -> None:
    with psycopg.connect(conninfo(server.url("postgres")), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(database)))
