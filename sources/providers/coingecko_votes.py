"""CoinGecko: today's votes of visitors on a coin, and how many watch it.

Documentation (docs.coingecko.com): "Coin Data by ID". Votes take a call per coin of the month's 10,000, so
they are requested once a day and for few coins. ``sources.providers.coingecko`` has the client and its
limits.
"""

from __future__ import annotations

from datetime import date

from coinwatch.errors import BadMessage
from coinwatch.sentiment.scoring import DayScore, Scale, SentimentSource, from_percent
from sources.exchanges.base import RestRequest
from sources.providers.coingecko import NAME
from sources.providers.lenient_fields import json_of, whole

MOST_COINS = 10
"""At one request a day, 310 calls a month."""
_EXCLUDED = dict.fromkeys(
    ("localization", "tickers", "market_data", "community_data", "developer_data", "sparkline"), "false"
)


def votes_request(coin_id: str) -> RestRequest:
    """The request for the votes on one coin."""
    return RestRequest(f"/coins/{coin_id}", _EXCLUDED)


def decode_votes(body: bytes, base: str, today: date) -> DayScore:
    """``{"id":"bitcoin","sentiment_votes_up_percentage":84.2,"sentiment_votes_down_percentage":15.8,
    "watchlist_portfolio_users":1900000}``

    The score has no value when there are no votes. Raises BadMessage.
    """
    coin = json_of(NAME, body)
    if not isinstance(coin, dict) or "id" not in coin:
        raise BadMessage(NAME, "the answer is not a coin", body)
    up = coin.get("sentiment_votes_up_percentage")
    if up is not None and (isinstance(up, bool) or not isinstance(up, int | float) or not 0 <= up <= 100):
        raise BadMessage(NAME, f"votes of {str(up)[:20]} % for {base}", body)
    watching = whole(coin.get("watchlist_portfolio_users"))
    return DayScore(
        day=today,
        source=SentimentSource.VOTES,
        base=base,
        value=None if up is None else float(up),
        scale=Scale.PERCENT,
        score=None if up is None else from_percent(up),
        detail={} if watching is None else {"watchlist_portfolio_users": watching},
    )
