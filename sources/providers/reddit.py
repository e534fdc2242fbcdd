"""Reddit: the newest posts of subreddits, by asyncpraw. Off unless an application's id is set.

Documentation: asyncpraw.readthedocs.io ("Read-only Reddit Instances"), reddit.com/dev/api
(``/r/<subreddit>/new``); 100 requests a minute per application.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import asyncpraw
from asyncpraw.exceptions import AsyncPRAWException
from asyncprawcore import exceptions

from coinwatch.errors import BadMessage, Fatal, Retryable, SourceError
from coinwatch.outside.http_dates import retry_after_s
from coinwatch.sentiment.articles import LONGEST_TITLE, Text
from coinwatch.sentiment.scoring import SentimentSource
from coinwatch.times import SECOND_US
from sources.providers.lenient_fields import text
from sources.wire import UNREADABLE

NAME = SentimentSource.REDDIT.value
SUBREDDITS = ("CryptoCurrency", "CryptoMarkets", "Bitcoin", "ethereum", "solana")
POSTS = 100
"""The newest posts of a subreddit in one request."""
TOTAL_S = 45.0
LARGEST_ANSWER = 8 * 1024 * 1024
"""In bytes. A hundred posts have less than 1 MB."""
_REQUEST_S = 15
_ROOT = "https://oauth.reddit.com"
_TOKENS_ROOT = "https://www.reddit.com"


class RedditClient:
    """A read-only client of Reddit."""

    def __init__(self, reddit: asyncpraw.Reddit) -> None:
        self._reddit = reddit

    async def newest_posts(self, subreddit: str, now_us: int) -> list[Text]:
        """The newest posts of a subreddit.

        Raises:
            Retryable: Reddit did not answer.
            Fatal: It refused: a wrong id or secret, a private or unknown subreddit.
            BadMessage: The answer is not a list of posts.
        """
        try:
            async with asyncio.timeout(TOTAL_S):
                listing = await self._reddit.subreddit(subreddit)
                posts = [_post(post, now_us) async for post in listing.new(limit=POSTS)]
        except TimeoutError as error:
            raise Retryable(NAME, f"r/{subreddit}: no answer within {TOTAL_S:g} s") from error
        except exceptions.AsyncPrawcoreException as error:
            raise _source_error(subreddit, error) from error
        except (*UNREADABLE, AttributeError, LookupError, AsyncPRAWException) as error:
            raise BadMessage(NAME, f"r/{subreddit}: not a list of posts ({error})") from error
        return [post for post in posts if post]


@asynccontextmanager
async def reddit_client(root: str, client_id: str, client_secret: str) -> AsyncIterator[RedditClient]:
    """Open a client. Tokens come from Reddit's address for them, or from ``root`` if it is not Reddit's."""
    async with aiohttp.ClientSession(trust_env=False, response_class=_BoundedResponse) as session:
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
            yield RedditClient(reddit)


class _BoundedResponse(aiohttp.ClientResponse):
    """Reads no more than LARGEST_ANSWER of an answer."""

    async def json(
        self,
        *,
        encoding: str | None = None,
        loads: Callable[[str], Any] = json.loads,
        content_type: str | None = "application/json",
    ) -> Any:
        """The JSON of the body. Raises ValueError, or ContentTypeError when it is not JSON."""
        if content_type not in (None, self.content_type):
            problem = f"unexpected mimetype: {self.content_type}"
            raise aiohttp.ContentTypeError(self.request_info, self.history, message=problem)
        body = bytearray()
        async for chunk in self.content.iter_any():
            body += chunk
            if len(body) > LARGEST_ANSWER:
                self.close()
                raise ValueError(f"the answer is larger than {LARGEST_ANSWER:,} bytes")
        return loads(body.decode(encoding or "utf-8"))


def _post(post: Any, now_us: int) -> Text | None:
    title, link = text(post.title), text(post.permalink)
    if not (title and link and link.startswith("/r/")):
        return None
    created_us = int(post.created_utc) * SECOND_US
    if not 0 < created_us <= now_us + 3600 * SECOND_US:
        return None
    return Text(f"https://www.reddit.com{link}".rstrip("/"), title[:LONGEST_TITLE], created_us)


def _source_error(subreddit: str, error: Exception) -> SourceError:
    what = f"r/{subreddit}: {type(error).__name__} {error}".rstrip()
    if isinstance(error, exceptions.TooManyRequests):
        wait_s = retry_after_s(str(error.retry_after or ""), datetime.now(UTC))
        return Retryable(NAME, what, retry_after_s=wait_s)
    if isinstance(error, exceptions.ServerError | exceptions.RequestException):
        return Retryable(NAME, what)
    if isinstance(error, exceptions.BadJSON):
        return BadMessage(NAME, what)
    if isinstance(error, exceptions.ResponseException) and error.response.status == 401:
        what += "; check COINWATCH_REDDIT_CLIENT_ID and COINWATCH_REDDIT_CLIENT_SECRET"
    return Fatal(NAME, what)
