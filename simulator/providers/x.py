"""A simulated X: ``/2/tweets/counts/recent``.

By docs.x.com ("Get count of recent Posts", "Response Codes & Errors"); never compared with the real
one, of which there are no recordings. Tokens begin with ``AAAA``, as real ones do.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from coinwatch.records import Market
from coinwatch.times import DAY_US
from simulator.exchanges.base import Answer, Refused, encode
from simulator.hashing import seed_of
from simulator.history import History
from simulator.markets import SimMarket
from simulator.providers.base import Provider
from simulator.providers.coins import Meter, iso_ms

DAYS: Final = 7


class X(Provider):
    name = "x"

    def __init__(self, markets: Mapping[Market, SimMarket], history: History) -> None:
        super().__init__(markets, history)
        self._meter = Meter(300, 900)

    def rest(self, path: str, params: Mapping[str, str], headers: Mapping[str, str], now_us: int) -> Answer:
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if not token.startswith("AAAA"):
            raise _refused(401, "Unauthorized", "Unauthorized")
        if not self._meter.lets(token, now_us):
            raise _refused(429, "Too Many Requests", "Too Many Requests")
        if path != "/2/tweets/counts/recent":
            raise _refused(404, "Not Found", "Not Found")
        query = params.get("query", "")
        if not query or params.get("granularity") != "day":
            raise _refused(400, "Invalid Request", "One or more parameters to your request was invalid.")
        edges = [now_us - DAYS * DAY_US, *_midnights(now_us), now_us]
        rows: list[dict[str, Any]] = [
            {"start": iso_ms(start), "end": iso_ms(end), "tweet_count": posts(query, start, end)}
            for start, end in pairwise(edges)
        ]
        return Answer(
            encode({"data": rows, "meta": {"total_tweet_count": sum(row["tweet_count"] for row in rows)}})
        )


def posts(query: str, start_us: int, end_us: int) -> int:
    """The number of posts, in proportion to the elapsed part of the day."""
    of_day = 5_000 + seed_of("posts", query, start_us // DAY_US) % 40_000
    return round(of_day * (end_us - start_us) / DAY_US)


def _midnights(now_us: int) -> list[int]:
    today = now_us // DAY_US
    return [day * DAY_US for day in range(today - DAYS + 1, today + 1)]


def _refused(status: int, title: str, detail: str) -> Refused:
    return Refused(
        Answer(encode({"title": title, "type": "about:blank", "status": status, "detail": detail}), status)
    )
