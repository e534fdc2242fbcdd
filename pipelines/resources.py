"""The resource of assets, schedules and sensors: settings, warehouse and exchange clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any, NamedTuple

import dagster as dg
from psycopg import AsyncConnection
from sqlalchemy import URL

from coinwatch import logs
from coinwatch.settings import Settings, process_settings
from sources.exchanges import EXCHANGES
from sources.exchanges.base import RateLimit
from sources.http import Budget, HttpSource, exchange_http
from warehouse.db.connect import database_url, session
from warehouse.db.migrate import upgrade
from warehouse.ops.budgets import WarehouseBudget

logs.configure_default()  # every process that runs our assets imports this module

APPLICATION = "coinwatch-pipelines"
LEFT_TO_RECOVERY = 1 / 3
"""The share of each rate limit left to the daemon, whose recovery is more urgent."""


@cache
def _upgrade_once(url: URL) -> None:
    """Upgrade the tables once per process, because Dagster may run without the rest of Coinwatch."""
    upgrade(url)


class CountedBudget:
    """A budget that counts requests."""

    def __init__(self, budget: Budget) -> None:
        self.requests = 0
        self._budget = budget

    async def acquire(
        self, host: str, scope: str, limit: RateLimit, cost: float, reserve: float = 0.0
    ) -> None:
        """As ``Budget.acquire``, and count the request."""
        await self._budget.acquire(host, scope, limit, cost, reserve)
        self.requests += 1

    async def block(self, host: str, scope: str, seconds: float) -> None:
        """As ``Budget.block``."""
        await self._budget.block(host, scope, seconds)


class Clients(NamedTuple):
    """REST clients by exchange, and their budget."""

    by_exchange: Mapping[str, HttpSource]
    budget: CountedBudget


class Coinwatch(dg.ConfigurableResource[None]):
    """Access to the settings, the warehouse and the exchanges; everything is opened on demand."""

    def settings(self) -> Settings:
        """The settings of this process. Raises SettingsError."""
        return process_settings()

    @asynccontextmanager
    async def warehouse(self) -> AsyncIterator[AsyncConnection[Any]]:
        """Open a connection in autocommit, after upgrading the tables. Raises WarehouseError."""
        url = database_url(self.settings())
        _upgrade_once(url)
        async with session(url, application_name=APPLICATION) as conn:
            yield conn

    @asynccontextmanager
    async def budget(self) -> AsyncIterator[CountedBudget]:
        """Open the request budget shared by all processes, on its own connection."""
        async with self.warehouse() as conn:
            yield CountedBudget(WarehouseBudget(conn))

    @asynccontextmanager
    async def exchanges(
        self, names: Iterable[str], reserve: float = LEFT_TO_RECOVERY
    ) -> AsyncIterator[Clients]:
        """Open the REST clients of the exchanges ``names``, with the budget shared by all processes.

        ``reserve`` is the share of each rate limit left to other processes.
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
