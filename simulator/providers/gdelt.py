"""A simulated GDELT's DOC 2.0 API: ``/api/v2/doc/doc`` with ``mode=timelinetone``.

By "GDELT DOC 2.0 API Debuts!" (blog.gdeltproject.org); never compared with the real one, of which
there are no recordings. Refusals and errors are plain text, the latter with status 200.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from coinwatch.records import Market
from coinwatch.times import DAY_US, to_datetime
from simulator.exchanges.base import Answer, Refused, encode
from simulator.hashing import seed_of
from simulator.history import History
from simulator.markets import SimMarket
from simulator.providers.base import Provider
from simulator.providers.coins import Meter
from simulator.providers.stories import traded

DAYS: Final = 91
_PHRASE: Final = re.compile(r'"([^"]*)"')
_PLAIN: Final = {"content-type": "text/html; charset=utf-8"}
_SLOWER: Final = (
    b"Please limit requests to one every 5 seconds or contact us for larger queries. All requests are "
    b"being monitored.\n"
)


class Gdelt(Provider):
    """The limit is twenty times that of the real one, because the demo sends requests faster."""

    name = "gdelt"

    def __init__(self, markets: Mapping[Market, SimMarket], history: History) -> None:
        super().__init__(markets, history)
        self._meter = Meter(20, 5.0)

    def rest(self, path: str, params: Mapping[str, str], headers: Mapping[str, str], now_us: int) -> Answer:
        if path != "/api/v2/doc/doc":
            raise Refused(Answer(b"<html><body>404 Not Found</body></html>", 404))
        if not self._meter.lets("", now_us):
            raise Refused(Answer(_SLOWER, 429, _PLAIN))
        phrases = _PHRASE.findall(params.get("query", ""))
        if not phrases or min(map(len, phrases)) < 3:
            return Answer(b"The specified phrase is too short.\n", headers=_PLAIN)
        if params.get("mode", "").lower() != "timelinetone":
            return Answer(b"Invalid mode.\n", headers=_PLAIN)
        known = {coin.name.lower(): coin.symbol for coin in traded()} | {"cryptocurrency": ""}
        about = next((known[phrase.lower()] for phrase in phrases if phrase.lower() in known), None)
        if about is None:
            return Answer(b"{}")
        today = now_us // DAY_US
        data = [
            {"date": f"{to_datetime(day * DAY_US):%Y%m%dT%H%M%SZ}", "value": tone(about, day)}
            for day in range(today - DAYS + 1, today + 1)
        ]
        return Answer(
            encode(
                {
                    "query_details": {"title": params["query"], "date_resolution": "day"},
                    "timeline": [{"series": "Average Tone", "data": data}],
                }
            )
        )


def tone(base: str, day: int) -> float:
    """The average tone of a day since 1970, slightly negative like that of real news."""
    return round(-0.6 + 3.0 * (seed_of("tone", base, day) / 2**64 - 0.5), 4)
