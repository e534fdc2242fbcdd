"""A simulated alternative.me: the Fear & Greed index, ``/fng/``.

By alternative.me/crypto/fear-and-greed-index/ ("API"); never compared with the real one, of which
there are no recordings. The index follows the simulated price of Bitcoin.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from coinwatch.records import Market
from coinwatch.times import DAY_US, SECOND_US
from simulator.exchanges.base import Answer, Refused, encode, whole
from simulator.history import History
from simulator.markets import SimMarket
from simulator.providers.base import Provider
from simulator.providers.coins import Meter, sim_coins

FIRST_DAY: Final = 17_563
"""2018-02-01, in days since 1970."""
_LABELS: Final = ((24, "Extreme Fear"), (46, "Fear"), (54, "Neutral"), (75, "Greed"), (100, "Extreme Greed"))


class Alternative(Provider):
    name = "alternative"

    def __init__(self, markets: Mapping[Market, SimMarket], history: History) -> None:
        super().__init__(markets, history)
        self._meter = Meter(60, 60)

    def rest(self, path: str, params: Mapping[str, str], headers: Mapping[str, str], now_us: int) -> Answer:
        if path.rstrip("/") != "/fng":
            raise Refused(Answer(b"<html><body>404 Not Found</body></html>", 404))
        if not self._meter.lets("", now_us):
            raise Refused(Answer(b"Too Many Requests", 429))
        limit = whole(params.get("limit", "1"), 0)
        if limit is None:
            raise Refused(Answer(encode(_answer([], "Error in /fng/: limit is no number")), 400))
        today = now_us // DAY_US
        count = min(limit or 10**9, today - FIRST_DAY + 1)
        rows = [_row(day) for day in range(today, today - count, -1)]
        if rows:
            rows[0]["time_until_update"] = str((DAY_US - now_us % DAY_US) // SECOND_US)
        return Answer(encode(_answer(rows, None)))


def _answer(rows: list[dict[str, Any]], error: str | None) -> dict[str, Any]:
    return {"name": "Fear and Greed Index", "data": rows, "metadata": {"error": error}}


def _row(day: int) -> dict[str, Any]:
    value = index(day)
    label = next(label for most, label in _LABELS if value <= most)
    return {
        "value": str(value),
        "value_classification": label,
        "timestamp": str(day * DAY_US // SECOND_US),
    }


@lru_cache(maxsize=4_096)
def index(day: int) -> int:
    """From 0 to 100, of a day since 1970."""
    bitcoin = sim_coins()["bitcoin"]
    moved = bitcoin.change(day * DAY_US, 30 * 1_440)
    return max(0, min(100, round(48 + 1.5 * moved + 12 * (bitcoin.chance(f"fear {day}") - 0.5))))
