"""A simulated CoinGecko: "Coins List (ID Map)", "Coins List with Market Data", "Coin Data by ID".

By docs.coingecko.com, with its limits and error bodies ("Errors & Rate Limits"); never compared with
the real one, of which there are no recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from coinwatch.records import Market
from coinwatch.times import MINUTE_US, SECOND_US
from simulator.exchanges.base import Answer, Refused, encode, whole
from simulator.history import History
from simulator.markets import SimMarket
from simulator.providers.base import Provider
from simulator.providers.coins import Meter, SimCoin, clean, iso_ms, ranked, sim_coins

ABANDONED: Final = "sample-coin-200"
"""A coin with implausible numbers, as abandoned coins have."""
_PER_PAGE: Final = 250
_KEYLESS_A_MINUTE: Final = 15
_DEMO_A_MINUTE: Final = 30


class CoinGecko(Provider):
    """The prefix of valid keys, as of real ones."""

    name = "coingecko"

    def __init__(self, markets: Mapping[Market, SimMarket], history: History) -> None:
        super().__init__(markets, history)
        self._keyless, self._demo = Meter(_KEYLESS_A_MINUTE, 60), Meter(_DEMO_A_MINUTE, 60)

    def rest(self, path: str, params: Mapping[str, str], headers: Mapping[str, str], now_us: int) -> Answer:
        self._check(headers.get("x-cg-demo-api-key"), now_us)
        if path == "/coins/list":
            with_platforms = params.get("include_platform") == "true"
            return Answer(encode([_listed(coin, with_platforms) for coin in sim_coins().values()]))
        if path == "/coins/markets":
            return Answer(encode(self._markets(params, now_us)))
        coin = sim_coins().get(path.removeprefix("/coins/"))
        if coin is None:
            raise _refused(404, {"error": "coin not found"})
        return Answer(encode(_details(coin, now_us)))

    def _check(self, key: str | None, now_us: int) -> None:
        if key is not None and not key.startswith("CG-"):
            raise _refused(401, _status(10002, "API Key Invalid"))
        meter = self._keyless if key is None else self._demo
        if not meter.lets(key or "", now_us):
            problem = "You've exceeded the Rate Limit. Please visit https://www.coingecko.com/en/api/pricing"
            raise _refused(429, _status(429, problem), {"retry-after": "60"})

    def _markets(self, params: Mapping[str, str], now_us: int) -> list[dict[str, Any]]:
        if params.get("vs_currency") != "usd":
            raise _refused(422, {"error": "Missing parameter vs_currency"})
        per_page = min(whole(params.get("per_page"), 1) or 100, _PER_PAGE)
        page = whole(params.get("page"), 1) or 1
        places = {coin.id: place for place, coin in enumerate(ranked(now_us), 1)}
        if "ids" in params:
            wanted = [coin for coin_id in params["ids"].split(",") if (coin := sim_coins().get(coin_id))]
            coins = sorted(wanted, key=lambda coin: (places.get(coin.id, 10**9), coin.id))
        else:
            coins = ranked(now_us)
        shown = coins[(page - 1) * per_page : page * per_page]
        return [_market(coin, places.get(coin.id), now_us) for coin in shown]


def _listed(coin: SimCoin, with_platforms: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": coin.id, "symbol": coin.symbol.lower(), "name": coin.name}
    if with_platforms:
        row["platforms"] = dict([coin.platform]) if coin.platform else {}
    return row


def _market(coin: SimCoin, rank: int | None, now_us: int) -> dict[str, Any]:
    price = coin.price(now_us)
    half_day_ago = price / (1 + coin.change(now_us, 720) / 100)
    high, low = coin.usd * 6, coin.usd / 60
    row = clean(
        {
            "id": coin.id,
            "symbol": coin.symbol.lower(),
            "name": coin.name,
            "image": f"https://coin-images.coingecko.com/coins/images/{coin.id}/large/{coin.id}.png",
            "current_price": price,
            "market_cap": price * coin.circulating if rank else 0,
            "market_cap_rank": rank,
            "fully_diluted_valuation": price * (coin.max_supply or coin.circulating * 1.05),
            "total_volume": price * coin.circulating * (0.01 + 0.05 * coin.chance("volume")),
            "high_24h": max(price, half_day_ago),
            "low_24h": min(price, half_day_ago),
            "price_change_percentage_24h": coin.change(now_us, 1_440),
            "circulating_supply": coin.circulating,
            "total_supply": coin.circulating * 1.02,
            "max_supply": coin.max_supply,
            "ath": high,
            "ath_change_percentage": (price / high - 1) * 100,
            "ath_date": "2021-11-10T14:24:11.849Z",
            "atl": low,
            "atl_change_percentage": (price / low - 1) * 100,
            "atl_date": "2018-12-15T00:00:00.000Z",
            "roi": None,
            "last_updated": iso_ms(now_us - 40 * SECOND_US),
            "price_change_percentage_1h_in_currency": coin.change(now_us, 60),
            "price_change_percentage_24h_in_currency": coin.change(now_us, 1_440),
            "price_change_percentage_7d_in_currency": coin.change(now_us, 7 * 1_440),
            "price_change_percentage_30d_in_currency": coin.change(now_us, 30 * 1_440),
        }
    )
    if coin.id == ABANDONED:
        row |= {"market_cap": -1.0, "ath": 0, "total_supply": 1e60}
    return row


def _details(coin: SimCoin, now_us: int) -> dict[str, Any]:
    """Votes change by the hour."""
    up = round(40 + 50 * coin.chance(f"votes {now_us // (60 * MINUTE_US)}"), 2)
    return {
        "id": coin.id,
        "symbol": coin.symbol.lower(),
        "name": coin.name,
        "categories": ["Layer 1 (L1)"],
        "description": {"en": f"{coin.name} is a simulated coin."},
        "genesis_date": coin.launched,
        "sentiment_votes_up_percentage": up,
        "sentiment_votes_down_percentage": round(100 - up, 2),
        "watchlist_portfolio_users": int(1_000 + 2_000_000 * coin.chance("watchers")),
        "last_updated": iso_ms(now_us - 40 * SECOND_US),
    }


def _status(code: int, message: str) -> dict[str, Any]:
    return {"status": {"error_code": code, "error_message": message}}


def _refused(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Refused:
    return Refused(Answer(encode(body), status, headers or {}))
