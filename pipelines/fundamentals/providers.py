"""The clients of the providers, by the settings, and the remaining calls of the month."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from pipelines.fundamentals.collect import Conn, Providers
from pipelines.resources import LEFT_TO_RECOVERY, Coinwatch, CountedBudget
from sources import contracts
from sources.exchanges import EXCHANGES
from sources.exchanges.base import RateLimit
from sources.http import HttpSource, exchange_http
from sources.providers import coingecko, coinmarketcap, defillama
from sources.providers.credentials import secret_text
from warehouse.ops.budgets import calls_this_month


class CallsLeft(NamedTuple):
    """The remaining calls of this month at one provider."""

    provider: str
    left: int
    allowed: int


@asynccontextmanager
async def providers(coinwatch: Coinwatch) -> AsyncIterator[tuple[Providers, CountedBudget]]:
    """Open the clients, with the budget shared by all processes. None requires a key."""
    settings = coinwatch.settings()
    scale = settings.rate_limit_scale
    cmc_key = secret_text(settings.coinmarketcap_api_key)
    async with AsyncExitStack() as stack:
        budget = await stack.enter_async_context(coinwatch.budget())
        opened = Providers(
            coingecko.coingecko_http(
                settings.rest_url(coingecko.NAME),
                budget,
                key=secret_text(settings.coingecko_api_key),
                scale=scale,
            ),
            coinmarketcap.coinmarketcap_http(
                settings.rest_url(coinmarketcap.NAME), budget, key=cmc_key, scale=scale
            ),
            defillama.defillama_http(settings.rest_url(defillama.NAME), budget, scale=scale),
            exchange_http(
                EXCHANGES[contracts.EXCHANGE],
                settings.rest_url(contracts.EXCHANGE),
                budget,
                scale=scale,
                reserve=LEFT_TO_RECOVERY,
            ),
            cmc_key,
        )
        for client in (opened.coingecko, opened.coinmarketcap, opened.defillama, opened.gateio):
            await stack.enter_async_context(client)
        yield opened, budget


async def calls_left(conn: Conn, coinwatch: Coinwatch, opened: Providers) -> list[CallsLeft]:
    """The remaining calls of this month at the providers with a monthly limit."""
    key = secret_text(coinwatch.settings().coingecko_api_key)
    limits: list[tuple[HttpSource, RateLimit]] = [
        (opened.coingecko, coingecko.rate_limit(key)),
        (opened.coinmarketcap, coinmarketcap.rate_limit(opened.cmc_key)),
    ]
    left = []
    for client, limit in limits:
        if limit.per_month is not None:
            calls = await calls_this_month(conn, client.host, limit.scope)
            left.append(CallsLeft(client.name, max(0, limit.per_month - calls), limit.per_month))
    return left
