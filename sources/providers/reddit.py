"""Reddit: the newest posts of subreddits, by asyncpraw. Optional, off without an application's id.

Documentation: asyncpraw.readthedocs.io ("Read-only Reddit Instances"), reddit.com/dev/api
(``/r/<subreddit>/new``); 100 requests a minute for an application.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpraw
from asyncprawcore import exceptions

from coinwatch.errors import BadMessage, Fatal, Retryable, SourceError
from coinwatch.sentiment.articles import LONGEST_TITLE, Text
from coinwatch.sentiment.scoring import Source
from coinwatch.times import SECOND_US
from sources.providers.lenient_fields import text

NAME = Source.REDDIT.value
SUBREDDITS = ("CryptoCurrency", "CryptoMarkets", "Bitcoin", "ethereum", "solana")
POSTS = 100
"""The newest of each subreddit; one request."""
TOTAL_S = 45.0
_REQUEST_S = 15
_ROOT = "https://oauth.reddit.com"
_TOKENS_ROOT = "https://www.reddit.com"


@asynccontextmanager
async def reddit_client(root: str, client_id: str, client_secret: str) -> AsyncIterator[asyncpraw.Reddit]:
    """The client, which may only read. Tokens are fetched from Reddit's other address, or from ``root``
    when that is not Reddit's."""
    async with aiohttp.ClientSession(trust_env=False) as session:
        reddit = asyncpraw.Reddit(
            client_id=client_id,
            client_secret=client_secret,
            user_agent="coinwatch",
            oauth_url=root,
            reddit_url=_TOKENS_ROOT if root == _ROOT else root,
            timeout=_REQUEST_S,
            check_for_updates=False,
            requestor_kwargs={"session": session},
        )
        async with reddit:
            yield reddit


async def newest_posts(reddit: asyncpraw.Reddit, subreddit: str, now_us: int) -> list[Text]:
    """The newest posts of a subreddit.

    Raises Retryable when Reddit does not answer, Fatal when it refuses (a wrong id or secret, a
    subreddit that is private or gone), BadMessage for what is no list of posts.
    """
    try:
        async with asyncio.timeout(TOTAL_S):
            found = await reddit.subreddit(subreddit)
            posts = [_post(post, now_us) async for post in found.new(limit=POSTS)]
    except TimeoutError as error:
        raise Retryable(NAME, f"r/{subreddit}: no answer within {TOTAL_S:g} s") from error
    except exceptions.AsyncPrawcoreException as error:
        raise _ours(subreddit, error) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadMessage(NAME, f"r/{subreddit}: no list of posts ({error})") from error
    return [post for post in posts if post]


def _post(post: Any, now_us: int) -> Text | None:
    title, link = text(post.title), text(post.permalink)
    if not (title and link and link.startswith("/r/")):
        return None
    created_us = int(post.created_utc) * SECOND_US
    if not 0 < created_us <= now_us + 3600 * SECOND_US:
        return None
    return Text(f"https://www.reddit.com{link}".rstrip("/"), title[:LONGEST_TITLE], created_us)


def _ours(subreddit: str, error: Exception) -> SourceError:
    what = f"r/{subreddit}: {type(error).__name__} {error}".rstrip()
    if isinstance(error, exceptions.TooManyRequests):
        return Retryable(NAME, what, retry_after_s=_seconds(error.retry_after))
    if isinstance(error, exceptions.ServerError | exceptions.RequestException):
        return Retryable(NAME, what)
    if isinstance(error, exceptions.BadJSON):
        return BadMessage(NAME, what)
    if isinstance(error, exceptions.ResponseException) and error.response.status == 401:
        what += "; check COINWATCH_REDDIT_CLIENT_ID and COINWATCH_REDDIT_CLIENT_SECRET"
    return Fatal(NAME, what)


def _seconds(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
