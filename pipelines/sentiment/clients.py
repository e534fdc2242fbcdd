"""The clients of the sources of sentiment, by the settings. Sources that need credentials are optional."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from coinwatch.sentiment.scoring import SentimentSource
from pipelines.resources import Coinwatch, CountedBudget
from sources.http import HttpSource
from sources.providers import alternative, coingecko, gdelt, news, reddit, telegram, x
from sources.providers.credentials import not_configured, secret_text


class Feed(NamedTuple):
    """A news feed and its client."""

    url: str
    client: HttpSource


class TextClients(NamedTuple):
    """The clients of sources of texts; those not configured are None."""

    feeds: Mapping[str, Feed]
    """By name."""
    reddit: reddit.RedditClient | None = None
    telegram: HttpSource | None = None
    channels: tuple[str, ...] = ()


class ScoreClients(NamedTuple):
    """The clients of sources of daily scores; ``x`` is None unless configured."""

    alternative: HttpSource
    gdelt: HttpSource
    coingecko: HttpSource
    x: HttpSource | None = None


@asynccontextmanager
async def text_clients(coinwatch: Coinwatch) -> AsyncIterator[tuple[TextClients, CountedBudget]]:
    """Open the clients of texts, with the budget shared by all processes."""
    settings = coinwatch.settings()
    scale, off = settings.rate_limit_scale, not_configured(settings)
    async with AsyncExitStack() as stack:
        budget = await stack.enter_async_context(coinwatch.budget())
        feeds = {
            name: Feed(url, await stack.enter_async_context(news.feed_http(name, url, budget, scale=scale)))
            for name, url in settings.news_feeds
        }
        posts = None
        if SentimentSource.REDDIT not in off:
            posts = await stack.enter_async_context(
                reddit.reddit_client(
                    settings.rest_url(reddit.NAME),
                    settings.reddit_client_id or "",
                    secret_text(settings.reddit_client_secret) or "",
                )
            )
        messages = None
        if SentimentSource.TELEGRAM not in off:
            root = settings.rest_url(telegram.NAME)
            messages = await stack.enter_async_context(telegram.telegram_http(root, budget, scale=scale))
        yield TextClients(feeds, posts, messages, settings.telegram_channels), budget


@asynccontextmanager
async def score_clients(coinwatch: Coinwatch) -> AsyncIterator[tuple[ScoreClients, CountedBudget]]:
    """Open the clients of scores, with the budget shared by all processes."""
    settings = coinwatch.settings()
    scale, token = settings.rate_limit_scale, secret_text(settings.x_bearer_token)
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
                        key=secret_text(settings.coingecko_api_key),
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
