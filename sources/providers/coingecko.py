"""CoinGecko: the list of all coins with unique ids, and metrics in pages of 250.

Documentation (docs.coingecko.com): "Coins List (ID Map)", "Coins List with Market Data",
"Authentication", "Errors & Rate Limits"; limits from the page "Pricing". Each request is one call of
the month's 10,000, so there is no request per coin. Attribution of the data is required.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from coinwatch.assets import Coin, CoinMetrics, Metrics, plain_contract
from coinwatch.errors import BadMessage
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import Budget, ErrorRules, HttpSource, Patience
from sources.providers.lenient_fields import Fields, Page, json_of, name, text, url

NAME = "coingecko"

CALLS_PER_MONTH = 10_000
KEYLESS = RateLimit(capacity=2, per_second=4 / 60, scope="ip", per_month=CALLS_PER_MONTH)
"""Without a key the limit is undocumented and per address: about 5 to 15 calls a minute pass. This limit
allows at most 6 a minute, and the monthly calls of a key."""
DEMO = RateLimit(capacity=5, per_second=25 / 60, scope="demo key", per_month=CALLS_PER_MONTH)
"""10,000 calls a month and 30 a minute by the page "Pricing", the lower of two documented limits."""

PER_PAGE = 250
"""The most coins in one answer of ``/coins/markets``."""
_LONGEST_IDS = 6_000
"""The most characters of ids in one request, which limits the length of the URL."""


def rate_limit(key: str | None) -> RateLimit:
    """The limit with a demo key, or without one."""
    return DEMO if key else KEYLESS


def coingecko_http(
    root: str, budget: Budget, *, key: str | None, scale: float = 1.0, patience: Patience | None = None
) -> HttpSource:
    """Make the client; ``scale`` is the setting ``rate_limit_scale``."""
    return HttpSource(
        NAME,
        root,
        budget,
        rate_limit(key).scaled(scale),
        errors=ErrorRules(error_in),
        patience=patience or Patience(read_s=30, total_s=120),
        headers={"x-cg-demo-api-key": key} if key else None,
    )


def error_in(body: bytes) -> str | None:
    """The error in ``{"status":{"error_code":10002,"error_message":"…"}}`` or ``{"error":"not found"}``."""
    if body.lstrip()[:1] != b"{":
        return None
    try:
        answer = msgspec.json.decode(body)
        error = answer.get("error", answer)
        if isinstance(error, str):
            return error[:200]
        status = error.get("status") if isinstance(error, dict) else None
        if not isinstance(status, dict):
            return None
        code = status.get("error_code")
        if not isinstance(code, int | str) or not code:
            return None
        return f"{code} {text(status.get('error_message')) or ''}"[:200].rstrip()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def coins_request() -> RestRequest:
    """The request for all coins with their contracts: one call, an answer of some megabytes."""
    return RestRequest("/coins/list", {"include_platform": "true"})


def decode_coins(body: bytes) -> list[Coin]:
    """``[{"id":"aave","symbol":"aave","name":"Aave","platforms":{"ethereum":"0x7fc6…"}}]``

    Each id once; entries without an id are left out. Raises BadMessage when the answer is not a list.
    """
    coins: dict[str, Coin] = {}
    for row in _rows(body):
        coin_id, symbol = _identity(row)
        if coin_id and symbol:
            coins[coin_id] = Coin(coin_id, symbol, name(row.get("name")) or coin_id, _platforms(row))
    return list(coins.values())


def top_request(page: int) -> RestRequest:
    """The request for a page of the largest coins; pages count from 1."""
    return RestRequest("/coins/markets", {**_MARKETS, "page": str(page)})


def metrics_requests(ids: Sequence[str]) -> list[RestRequest]:
    """Requests for the metrics of these coins, as many per request as a page and a URL allow."""
    return [RestRequest("/coins/markets", {**_MARKETS, "ids": ",".join(batch)}) for batch in _batches(ids)]


_MARKETS = {
    "vs_currency": "usd",
    "order": "market_cap_desc",
    "per_page": str(PER_PAGE),
    "price_change_percentage": "1h,24h,7d,30d",
}


def decode_metrics(body: bytes) -> Page:
    """``[{"id":"bitcoin","symbol":"btc","name":"Bitcoin","image":"https://…","current_price":67000.5,
    "market_cap":1.3e12,"market_cap_rank":1,…,"last_updated":"2026-11-20T10:00:00.123Z"}]``

    Raises BadMessage when the answer is not a list.
    """
    rows = _rows(body)
    read = [_coin_metrics(row) for row in rows]
    return Page(list({coin.id: coin for coin in read if coin}.values()), read.count(None))


def _coin_metrics(row: Any) -> CoinMetrics | None:
    coin_id, symbol = _identity(row)
    if not (coin_id and symbol):
        return None
    fields = Fields(row)
    metrics = Metrics(
        observed_us=fields.time("last_updated"),
        price_usd=fields.price("current_price"),
        market_cap_usd=fields.worth("market_cap"),
        rank=fields.rank("market_cap_rank"),
        fdv_usd=fields.worth("fully_diluted_valuation"),
        volume_24h_usd=fields.volume("total_volume"),
        circulating_supply=fields.supply("circulating_supply"),
        total_supply=fields.supply("total_supply"),
        max_supply=fields.supply("max_supply"),
        ath_usd=fields.price("ath"),
        ath_us=fields.time("ath_date"),
        atl_usd=fields.price("atl"),
        atl_us=fields.time("atl_date"),
        change_1h=fields.change("price_change_percentage_1h_in_currency"),
        change_24h=fields.change("price_change_percentage_24h_in_currency"),
        change_7d=fields.change("price_change_percentage_7d_in_currency"),
        change_30d=fields.change("price_change_percentage_30d_in_currency"),
    )
    return CoinMetrics(
        id=coin_id,
        symbol=symbol,
        name=name(row.get("name")) or coin_id,
        metrics=metrics,
        image=url(row.get("image")),
        dropped=fields.dropped,
    )


def _rows(body: bytes) -> list[Any]:
    rows = json_of(NAME, body)
    if not isinstance(rows, list):
        raise BadMessage(NAME, "the answer is not a list of coins", body)
    return rows


def _identity(row: Any) -> tuple[str, str] | tuple[None, None]:
    if not isinstance(row, dict):
        return None, None
    coin_id, symbol = name(row.get("id")), name(row.get("symbol"))
    return (coin_id, symbol.upper()) if coin_id and symbol else (None, None)


def _platforms(row: dict[str, Any]) -> dict[str, str]:
    platforms = row.get("platforms")
    if not isinstance(platforms, dict):
        return {}
    pairs = ((name(platform), name(address)) for platform, address in platforms.items())
    return {platform: plain_contract(address) for platform, address in pairs if platform and address}


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    length = 0
    for coin_id in ids:
        if batch and (len(batch) == PER_PAGE or length + len(coin_id) > _LONGEST_IDS):
            yield batch
            batch, length = [], 0
        batch.append(coin_id)
        length += len(coin_id) + 1
    if batch:
        yield batch
