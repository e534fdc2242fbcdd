"""CoinGecko: what its visitors voted of a coin today, and how many follow it.

Documentation (docs.coingecko.com): "Coin Data by ID". Votes are told coin by coin only, a call each
of the month's 10,000, so they are asked once a day and of few coins; see ``sources.providers.coingecko`` for
the client and its limits.
"""

from __future__ import annotations

from datetime import date

from coinwatch.errors import BadMessage
from coinwatch.sentiment.scoring import DayScore, Scale, Source, from_percent
from sources.exchanges.base import RestRequest
from sources.providers.coingecko import NAME
from sources.providers.lenient_fields import json_of, whole

MOST_COINS = 10
"""310 calls a month."""
_FOLLOWERS = ("reddit_subscribers", "reddit_accounts_active_48h", "telegram_channel_user_count")
_NEITHER = dict.fromkeys(("localization", "tickers", "market_data", "developer_data", "sparkline"), "false")


def votes_request(coin_id: str) -> RestRequest:
    """Ask about one coin, with its community and nothing else."""
    return RestRequest(f"/coins/{coin_id}", {**_NEITHER, "community_data": "true"})


def decode_votes(body: bytes, base: str, today: date) -> DayScore:
    """``{"id":"bitcoin","sentiment_votes_up_percentage":84.2,"sentiment_votes_down_percentage":15.8,
    "watchlist_portfolio_users":1900000,"community_data":{"reddit_subscribers":5000000}}``

    Without a value when nobody voted. Raises BadMessage.
    """
    coin = json_of(NAME, body)
    if not isinstance(coin, dict) or "id" not in coin:
        raise BadMessage(NAME, "an answer that is no coin", body)
    up = coin.get("sentiment_votes_up_percentage")
    if up is not None and (isinstance(up, bool) or not isinstance(up, int | float) or not 0 <= up <= 100):
        raise BadMessage(NAME, f"votes of {str(up)[:20]} % for {base}", body)
    community = coin.get("community_data")
    told = {name: whole(community.get(name)) for name in _FOLLOWERS} if isinstance(community, dict) else {}
    told["watchlist_portfolio_users"] = whole(coin.get("watchlist_portfolio_users"))
    return DayScore(
        day=today,
        source=Source.VOTES,
        base=base,
        value=None if up is None else float(up),
        scale=Scale.PERCENT,
        score=None if up is None else from_percent(up),
        detail={name: value for name, value in told.items() if value is not None},
    )
