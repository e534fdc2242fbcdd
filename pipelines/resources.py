"""What assets, schedules and sensors work with, made from Coinwatch's settings when they run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any

import dagster as dg
from psycopg import AsyncConnection
from sqlalchemy import URL

from coinwatch.settings import Settings, load_settings
from sources.exchanges import EXCHANGES
from sources.http import HttpSource
from warehouse.budgets import WarehouseBudget
from warehouse.connect import connect, database_url
from warehouse.migrate import upgrade

APPLICATION = "coinwatch-pipelines"


@cache
def _bring_up_to_date(url: URL) -> None:
    """Once a process: Dagster may be all of Coinwatch that runs here."""
    upgrade(url)


class Coinwatch(dg.ConfigurableResource[None]):
    """The settings, the warehouse and the exchanges. Nothing is opened before it is asked for."""

    def settings(self) -> Settings:
        """The settings as they are now. Raises SettingsError."""
        return load_settings()

    @asynccontextmanager
    async def warehouse(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection of its own, autocommit, to tables that are up to date. Raises WarehouseError."""
        url = database_url(self.settings())
        _bring_up_to_date(url)
        async with await connect(url, application_name=APPLICATION) as conn:
            yield conn

    @asynccontextmanager
    async def exchanges(self, names: Iterable[str]) -> AsyncIterator[Mapping[str, HttpSource]]:
        """REST clients by exchange, spending from the budgets that all processes share."""
        settings = self.settings()
        async with AsyncExitStack() as stack:
            budget = WarehouseBudget(await stack.enter_async_context(self.warehouse()))
            yield {
                name: await stack.enter_async_context(
                    HttpSource(
                        name,
                        settings.rest_url(name),
                        budget,
                        EXCHANGES[name].rest_limit.scaled(settings.rate_limit_scale),
                    )
                )
                for name in sorted(set(names))
            }
