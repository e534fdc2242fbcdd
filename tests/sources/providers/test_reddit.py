"""Reddit's posts by asyncpraw, against a server that answers as Reddit does, or does not."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from coinwatch.errors import BadMessage, Fatal, Retryable
from coinwatch.times import MINUTE_US, day_start_us
from sources.providers import reddit
from tests.sources.scripted_server import SILENCE, answer, scripted

NOW_US = day_start_us(date(2026, 11, 21)) + 600 * MINUTE_US

# What asyncprawcore asks of aiohttp is deprecated there.
of_asyncpraw = pytest.mark.filterwarnings("ignore:.*(BasicAuth|'auth' parameter).*:DeprecationWarning")


def listing(*posts: dict[str, Any]) -> bytes:
    children = [{"kind": "t3", "data": post} for post in posts]
    return answer(
        json.dumps({"kind": "Listing", "data": {"children": children, "after": None, "before": None}}),
        content_type="application/json",
    )


TOKEN = answer(
    '{"access_token":"t","token_type":"bearer","expires_in":86400,"scope":"*"}',
    content_type="application/json",
)
API_ERROR = answer('{"json":{"errors":[["RATELIMIT","slow down","x"]]}}', content_type="application/json")
POST = {
    "id": "abc",
    "title": "Bitcoin is back",
    "permalink": "/r/Bitcoin/comments/abc/bitcoin_is_back/",
    "created_utc": NOW_US / 1e6 - 60,
}


@of_asyncpraw
async def test_posts_of_a_subreddit() -> None:
    late = {**POST, "id": "late", "created_utc": NOW_US / 1e6 + 86_400}
    async with (
        scripted(TOKEN, listing(POST, late)) as server,
        reddit.reddit_client(server.root, "id", "secret") as client,
    ):
        (post,) = await client.newest_posts("Bitcoin", NOW_US)
    assert server.requests[0] == "/api/v1/access_token"
    assert server.requests[1].startswith("/r/Bitcoin/new")
    assert post.url == "https://www.reddit.com/r/Bitcoin/comments/abc/bitcoin_is_back"
    assert (post.title, post.published_us) == ("Bitcoin is back", NOW_US - MINUTE_US)


@pytest.mark.parametrize(
    ("answers", "error", "problem"),
    [
        ([answer("{}", 401)], Fatal, "COINWATCH_REDDIT_CLIENT_ID"),
        ([TOKEN, answer('{"reason":"private"}', 403, content_type="application/json")], Fatal, "Forbidden"),
        ([TOKEN, answer('{"message":"Not Found"}', 404, content_type="application/json")], Fatal, "NotFound"),
        ([TOKEN, answer("slow down", 429, retry_after="7")], Retryable, "TooManyRequests"),
        ([TOKEN, answer("<html>", content_type="text/html")], Retryable, "unexpected mimetype: text/html"),
        ([TOKEN, answer('{"kind":"Listing"}', content_type="application/json")], BadMessage, "r/Bitcoin"),
        ([TOKEN, listing({**POST, "created_utc": float("inf")})], BadMessage, "r/Bitcoin"),
        ([TOKEN, API_ERROR], BadMessage, "r/Bitcoin"),
        ([TOKEN, answer("[" * 100_000, content_type="application/json")], Retryable, "RequestException"),
        ([TOKEN, answer(" " * 9_000_000, content_type="application/json")], BadMessage, "r/Bitcoin"),
        ([TOKEN, SILENCE], Retryable, "no answer within"),
    ],
    ids=["key", "private", "gone", "429", "html", "no list", "time", "error", "nested", "large", "silence"],
)
@of_asyncpraw
async def test_failures_become_source_errors(
    answers: list[bytes], error: type[Exception], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reddit, "TOTAL_S", 1.0)
    async with scripted(*answers) as server, reddit.reddit_client(server.root, "id", "secret") as client:
        with pytest.raises(error, match=problem):
            await client.newest_posts("Bitcoin", NOW_US)
