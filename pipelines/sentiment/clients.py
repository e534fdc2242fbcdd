"""The clients of the sources of sentiment, as the settings say. None needs a key; those that do are off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import asyncpraw

from coinwatch.sentiment.scoring import Source
from pipelines.resources import Coinwatch, CountedBudget
from sources.http import HttpSource
from sources.providers import alternative, coingecko, gdelt, news, reddit, telegram, x
from sources.providers.sentiment_credentials import not_configured, told


class Feed(NamedTuple):
    """An outlet's news feed."""

    url: str
    client: HttpSource


class TextClients(NamedTuple):
    """Where texts come from."""

    feeds: Mapping[str, Feed]
    """By outlet."""
    reddit: asyncpraw.Reddit | None = None
    telegram: HttpSource | None = None
    channels: tuple[str, ...] = ()


class ScoreClients(NamedTuple):
    """Where scores of days come from."""

    alternative: HttpSource
    gdelt: HttpSource
    coingecko: HttpSource
    x: HttpSource | None = None


@asynccontextmanager
async def text_clients(coinwatch: Coinwatch) -> AsyncIterator[tuple[TextClients, CountedBudget]]:
    """Clients that spend from the budgets all processes share."""
    settings = coinwatch.settings()
    scale, off = settings.rate_limit_scale, not_configured(settings)
    async with AsyncExitStack() as stack:
        budget = await stack.enter_async_context(coinwatch.budget())
        feeds = {
            outlet: Feed(
                url, await stack.enter_async_context(news.feed_http(outlet, url, budget, scale=scale))
            )
            for outlet, url in settings.news_feeds
        }
        posts = None
        if Source.REDDIT not in off:
            posts = await stack.enter_async_context(
                reddit.reddit_client(
                    settings.rest_url(reddit.NAME),
                    settings.reddit_client_id or "",
                    told(settings.reddit_client_secret) or "",
                )
            )
        messages = None
        if Source.TELEGRAM not in off:
            root = settings.rest_url(telegram.NAME)
            messages = await stack.enter_async_context(telegram.telegram_http(root, budget, scale=scale))
        yield TextClients(feeds, posts, messages, settings.telegram_channels), budget


@asynccontextmanager
async def score_clients(coinwatch: Coinwatch) -> AsyncIterator[tuple[ScoreClients, CountedBudget]]:
    """Clients that spend from the budgets all processes share."""
    settings = coinwatch.settings()
    scale, token = settings.rate_limit_scale, told(settings.x_bearer_token)
    async with AsyncExitStack() as stack:
        budget = await stack.enter_async_context(coinwatch.budget())
        yield (
            ScoreClients(
                await stack.enter_async_context(
                    alternative.alternative_http(settings.rest_url(alternative.NAME), budget, scale=scale)
                ),
                await stack.enter_async_context(
                    gdelt.gdelt_http(settings.rest_url(gdelt.NAME), budget, scale=scale)
                ),
                await stack.enter_async_context(
                    coingecko.coingecko_http(
                        settings.rest_url(coingecko.NAME),
                        budget,
                        key=told(settings.coingecko_api_key),
                        scale=scale,
                    )
                ),
                await stack.enter_async_context(
                    x.x_http(settings.rest_url(x.NAME), budget, token=token, scale=scale)
                )
                if token
                else None,
            ),
            budget,
        )
