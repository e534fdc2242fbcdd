"""A client for the REST API of each exchange, within rate limits that all processes share."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from coinwatch.settings import Settings
from sources.budgets import Budget
from sources.exchanges.base import Exchange
from sources.http import HttpSource, Patience, exchange_http

PATIENCE = Patience(attempts=2, total_s=20.0)
"""A request that fails twice is made again later."""
LARGEST_BODY = 4 * 1024 * 1024
"""In bytes. The longest page of trades has a tenth; decoding more would delay the streams."""


class Rest:
    """``async with Rest(settings, budget) as rest``: each client is opened when it is first used."""

    def __init__(self, settings: Settings, budget: Budget) -> None:
        self._settings = settings
        self._budget = budget
        self._clients: dict[str, HttpSource] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def of(self, exchange: Exchange) -> HttpSource:
        """The client of ``exchange``."""
        if exchange.name not in self._clients:
            client = exchange_http(
                exchange,
                self._settings.rest_url(exchange.name),
                self._budget,
                scale=self._settings.rate_limit_scale,
                patience=PATIENCE,
                largest=LARGEST_BODY,
            )
            self._clients[exchange.name] = await self._stack.enter_async_context(client)
        return self._clients[exchange.name]
