"""What assets, schedules and sensors work with, made from Coinwatch's settings when they run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any, NamedTuple

import dagster as dg
from psycopg import AsyncConnection
from sqlalchemy import URL

from coinwatch.settings import Settings, process_settings
from sources.exchanges import EXCHANGES
from sources.exchanges.base import RateLimit
from sources.http import Budget, HttpSource, exchange_http
from warehouse.db.connect import database_url, session
from warehouse.db.migrate import upgrade
from warehouse.ops.budgets import WarehouseBudget

APPLICATION = "coinwatch-pipelines"
LEFT_TO_RECOVERY = 1 / 3
"""The share of each limit that collecting leaves to the daemon, whose gaps cannot wait."""


@cache
def _bring_up_to_date(url: URL) -> None:
    """Once a process: Dagster may be all of Coinwatch that runs here."""
    upgrade(url)


class CountedBudget:
    """A budget that counts the requests it let through."""

    def __init__(self, budget: Budget) -> None:
        self.requests = 0
        self._budget = budget

    async def acquire(
        self, host: str, scope: str, limit: RateLimit, cost: float, reserve: float = 0.0
    ) -> None:
        await self._budget.acquire(host, scope, limit, cost, reserve)
        self.requests += 1

    async def block(self, host: str, scope: str, seconds: float) -> None:
        await self._budget.block(host, scope, seconds)


class Clients(NamedTuple):
    """REST clients by exchange, and what they spend from."""

    by_exchange: Mapping[str, HttpSource]
    budget: CountedBudget


class Coinwatch(dg.ConfigurableResource[None]):
    """The settings, the warehouse and the exchanges. Nothing is opened before it is asked for."""

    def settings(self) -> Settings:
        """The settings of this process. Raises SettingsError."""
        return process_settings()

    @asynccontextmanager
    async def warehouse(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection of its own, autocommit, to tables that are up to date. Raises WarehouseError."""
        url = database_url(self.settings())
        _bring_up_to_date(url)
        async with session(url, application_name=APPLICATION) as conn:
            yield conn

    @asynccontextmanager
    async def budget(self) -> AsyncIterator[CountedBudget]:
        """The request limits that all processes share, on a connection of its own."""
        async with self.warehouse() as conn:
            yield CountedBudget(WarehouseBudget(conn))

    @asynccontextmanager
    async def exchanges(
        self, names: Iterable[str], reserve: float = LEFT_TO_RECOVERY
    ) -> AsyncIterator[Clients]:
        """REST clients by exchange, spending from the budgets that all processes share.

        ``reserve`` is the share of each that they leave to others.
        """
        settings = self.settings()
        async with AsyncExitStack() as stack:
            budget = await stack.enter_async_context(self.budget())
            by_exchange = {
                name: await stack.enter_async_context(
                    exchange_http(
                        EXCHANGES[name],
                        settings.rest_url(name),
                        budget,
                        scale=settings.rate_limit_scale,
                        reserve=reserve,
                    )
                )
                for name in sorted(set(names))
            }
            yield Clients(by_exchange, budget)
