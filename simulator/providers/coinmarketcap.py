"""A simulated CoinMarketCap: "Listings Latest v3" and "Metadata v2", with a key and without.

By coinmarketcap.com/api/documentation ("Keyless Public API", "Rate limits and troubleshooting"); never
compared with the real one, of which there are no recordings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from coinwatch.records import Market
from coinwatch.times import SECOND_US
from simulator.exchanges.base import Answer, Refused, encode, whole
from simulator.history import History
from simulator.markets import SimMarket
from simulator.providers.base import Provider
from simulator.providers.coins import Meter, SimCoin, clean, iso_ms, ranked, sim_coins

_MOST: Final = 5_000
_KEY: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HIGHER: Final = 1.0004
"""The factor of its prices to CoinGecko's, because real sources differ slightly."""


class CoinMarketCap(Provider):
    """Valid keys are UUIDs, as real ones are."""

    name = "coinmarketcap"

    def __init__(self, markets: Mapping[Market, SimMarket], history: History) -> None:
        super().__init__(markets, history)
        self._keyless, self._keyed = Meter(20, 15), Meter(30, 60)

    def rest(self, path: str, params: Mapping[str, str], headers: Mapping[str, str], now_us: int) -> Answer:
        key = headers.get("x-cmc_pro_api_key")
        public = path.startswith("/public-api/")
        self._check(key, public, now_us)
        below = path.removeprefix("/public-api")
        if below == "/v3/cryptocurrency/listings/latest":
            data: Any = self._listings(params, now_us)
        elif below == "/v2/cryptocurrency/info":
            data = self._info(params)
        else:
            raise Refused(Answer(b'{"statusCode":404,"error":"Not Found","message":"Not Found"}', 404))
        code: int | str = "0" if public else 0
        return Answer(encode({"status": _status(code, None, now_us), "data": data}))

    def _check(self, key: str | None, public: bool, now_us: int) -> None:
        if not public and key is None:
            raise _refused(401, 1002, "API key missing.", now_us)
        if not public and key is not None and not _KEY.fullmatch(key):
            raise _refused(401, 1001, "This API Key is invalid.", now_us)
        if public and not self._keyless.lets("", now_us):
            raise _refused(429, 1011, "You've hit an IP rate limit.", now_us)
        if not public and not self._keyed.lets(key or "", now_us):
            raise _refused(429, 1008, "You've exceeded your API Key's HTTP request rate limit.", now_us)

    def _listings(self, params: Mapping[str, str], now_us: int) -> list[dict[str, Any]]:
        start, limit = whole(params.get("start", "1"), 1), whole(params.get("limit", "100"), 1)
        if start is None or limit is None or limit > _MOST:
            raise _refused(400, 400, '"limit" must be less than or equal to 5000', now_us)
        coins = [coin for coin in ranked(now_us) if coin.cmc_id is not None]
        shown = list(enumerate(coins, 1))[start - 1 : start - 1 + limit]
        return [_listing(coin, rank, now_us) for rank, coin in shown]

    def _info(self, params: Mapping[str, str]) -> dict[str, Any]:
        wanted = {whole(part) for part in params.get("id", "").split(",")}
        described = [coin for coin in sim_coins().values() if coin.cmc_id in wanted and coin.cmc_id]
        return {str(coin.cmc_id): _described(coin) for coin in described}


def _listing(coin: SimCoin, rank: int, now_us: int) -> dict[str, Any]:
    price = coin.price(now_us) * _HIGHER
    quote = {
        "id": 2781,
        "symbol": "USD",
        "price": price,
        "volume_24h": price * coin.circulating * 0.04,
        "percent_change_1h": coin.change(now_us, 60),
        "percent_change_24h": coin.change(now_us, 1_440),
        "percent_change_7d": coin.change(now_us, 7 * 1_440),
        "percent_change_30d": coin.change(now_us, 30 * 1_440),
        "market_cap": price * coin.circulating,
        "fully_diluted_market_cap": price * (coin.max_supply or coin.circulating * 1.05),
        "tvl": None,
        "last_updated": iso_ms(now_us - 60 * SECOND_US),
    }
    return {
        "id": coin.cmc_id,
        "name": coin.name,
        "symbol": coin.symbol,
        "slug": coin.name.lower().replace(" ", "-"),
        "date_added": "2017-09-20T00:00:00.000Z",
        "tags": ["mineable"],
        "max_supply": coin.max_supply,
        "circulating_supply": coin.circulating,
        "total_supply": coin.circulating * 1.02,
        "infinite_supply": coin.max_supply is None,
        "platform": _platform(coin),
        "cmc_rank": rank,
        "last_updated": iso_ms(now_us - 60 * SECOND_US),
        "quote": [clean(quote)],
    }


def _described(coin: SimCoin) -> dict[str, Any]:
    site = f"https://{coin.name.lower().replace(' ', '-')}.example"
    return {
        "id": coin.cmc_id,
        "name": coin.name,
        "symbol": coin.symbol,
        "category": "token" if coin.platform else "coin",
        "description": f"{coin.name} ({coin.symbol}) is a simulated cryptocurrency.",
        "logo": f"https://s2.coinmarketcap.com/static/img/coins/64x64/{coin.cmc_id}.png",
        "tags": ["mineable", "layer-1"],
        "tag-names": ["Mineable", "Layer 1"],
        "tag-groups": ["OTHERS", "CATEGORY"],
        "platform": _platform(coin),
        "date_added": "2017-09-20T00:00:00.000Z",
        "date_launched": f"{coin.launched}T00:00:00.000Z",
        "urls": {
            "website": [f"{site}/"],
            "technical_doc": [f"{site}/whitepaper.pdf"],
            "source_code": [],
            "explorer": [f"{site}/explorer"],
        },
    }


def _platform(coin: SimCoin) -> dict[str, Any] | None:
    if coin.platform is None:
        return None
    name, address = coin.platform
    return {"id": 1027, "name": name.title(), "symbol": "ETH", "slug": name, "token_address": address}


def _status(code: int | str, message: str | None, now_us: int) -> dict[str, Any]:
    return {
        "timestamp": iso_ms(now_us),
        "error_code": code,
        "error_message": message,
        "elapsed": 12,
        "credit_count": 1,
    }


def _refused(status: int, code: int, message: str, now_us: int) -> Refused:
    return Refused(Answer(encode({"status": _status(code, message, now_us)}), status))
