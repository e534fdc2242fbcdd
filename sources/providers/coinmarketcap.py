"""CoinMarketCap: the second provider of metrics, and descriptions and links of assets.

Documentation (coinmarketcap.com/api/documentation): "Keyless Public API" (the same paths below
``/public-api``, no key), "Listings Latest v3", "Metadata v2", "Rate limits and troubleshooting".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from coinwatch.assets import CoinMetrics, Description, Metrics, plain_contract
from coinwatch.errors import BadMessage
from coinwatch.outside.markup import plain_text
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import Budget, ErrorRules, HttpSource, Patience
from sources.providers.lenient_fields import Fields, Page, day, json_of, name, text, url, whole

NAME = "coinmarketcap"

KEYLESS = RateLimit(capacity=3, per_second=10 / 60, scope="ip")
"""Undocumented. After about 20 requests in 15 seconds the answer is 429 with the code 1011."""
BASIC = RateLimit(capacity=5, per_second=25 / 60, scope="key", per_month=5_000)
"""The free plan: 30 requests a minute, 15,000 credits a month; no request here costs more than three."""

LISTED = 500
"""Coins in one answer; costs two credits with a key."""
DESCRIBED_AT_ONCE = 100
"""Ids in one request for descriptions; costs one credit."""


def rate_limit(key: str | None) -> RateLimit:
    """The limit of the free plan, or without a key."""
    return BASIC if key else KEYLESS


def coinmarketcap_http(
    root: str, budget: Budget, *, key: str | None, scale: float = 1.0, patience: Patience | None = None
) -> HttpSource:
    """Make the client; ``scale`` is the setting ``rate_limit_scale``."""
    return HttpSource(
        NAME,
        root,
        budget,
        rate_limit(key).scaled(scale),
        errors=ErrorRules(error_in, throttled=("1008 ", "1011 ", "1022 "), passing=("500 ",)),
        patience=patience or Patience(read_s=30, total_s=120),
        headers={"X-CMC_PRO_API_KEY": key} if key else None,
    )


def error_in(body: bytes) -> str | None:
    """The error in ``{"status":{"error_code":1011,"error_message":"You've hit an IP rate limit."}}``.

    The code is a number with a key and text without one; 0 means no error.
    """
    try:
        answer = msgspec.json.decode(body)
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict):
            return None
        code = status.get("error_code")
        if not isinstance(code, int | str) or str(code) in ("", "0"):
            return None
        return f"{code} {text(status.get('error_message')) or ''}"[:200]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def listings_request(*, key: str | None) -> RestRequest:
    """The request for the ``LISTED`` largest coins."""
    params = {"start": "1", "limit": str(LISTED), "convert": "USD", "sort": "market_cap"}
    return RestRequest(_path("/v3/cryptocurrency/listings/latest", key), params)


def decode_listings(body: bytes) -> Page:
    """``{"status":{…},"data":[{"id":1,"name":"Bitcoin","symbol":"BTC","cmc_rank":1,"max_supply":21000000,
    "platform":null,…,"quote":[{"symbol":"USD","price":67000.5,"percent_change_24h":1.2,…}]}]}``

    Raises BadMessage when the answer has no such list.
    """
    read = [_coin_metrics(row) for row in _data(body, list)]
    return Page(list({coin.id: coin for coin in read if coin}.values()), read.count(None))


def descriptions_requests(cmc_ids: Sequence[int], *, key: str | None) -> Iterator[RestRequest]:
    """Requests for the descriptions of these coins, ``DESCRIBED_AT_ONCE`` each; unknown ids are skipped."""
    for start in range(0, len(cmc_ids), DESCRIBED_AT_ONCE):
        ids = ",".join(map(str, cmc_ids[start : start + DESCRIBED_AT_ONCE]))
        yield RestRequest(_path("/v2/cryptocurrency/info", key), {"id": ids, "skip_invalid": "true"})


def decode_descriptions(body: bytes) -> list[Description]:
    """``{"data":{"1":{"id":1,"description":"…","logo":"https://…","tag-names":["Mineable"],
    "tag-groups":["OTHERS"],"urls":{"website":["https://bitcoin.org/"]},"date_launched":"2010-07-13T…"}}}``

    Entries without an id are left out. Raises BadMessage when the answer has no such map.
    """
    return [entry for row in _data(body, dict).values() if (entry := _description(row))]


def _coin_metrics(row: Any) -> CoinMetrics | None:
    if not isinstance(row, dict):
        return None
    cmc_id, symbol = whole(row.get("id")), name(row.get("symbol"))
    if not (cmc_id and symbol):
        return None
    coin, quote = Fields(row), Fields(_usd(row.get("quote")))
    metrics = Metrics(
        observed_us=quote.time("last_updated"),
        price_usd=quote.price("price"),
        market_cap_usd=quote.worth("market_cap"),
        rank=coin.rank("cmc_rank"),
        fdv_usd=quote.worth("fully_diluted_market_cap"),
        volume_24h_usd=quote.volume("volume_24h"),
        circulating_supply=coin.supply("circulating_supply"),
        total_supply=coin.supply("total_supply"),
        max_supply=coin.supply("max_supply"),
        change_1h=quote.change("percent_change_1h"),
        change_24h=quote.change("percent_change_24h"),
        change_7d=quote.change("percent_change_7d"),
        change_30d=quote.change("percent_change_30d"),
    )
    platform = row.get("platform")
    contract = name(platform.get("token_address")) if isinstance(platform, dict) else None
    return CoinMetrics(
        id=str(cmc_id),
        symbol=symbol.upper(),
        name=name(row.get("name")) or symbol,
        metrics=metrics,
        contract=plain_contract(contract) if contract else None,
        dropped=coin.dropped + quote.dropped,
    )


def _usd(quotes: Any) -> dict[str, Any]:
    """The USD entry of ``[{"symbol":"USD",…}]``; empty when there is none."""
    for quote in quotes if isinstance(quotes, list) else ():
        if isinstance(quote, dict) and quote.get("symbol") == "USD":
            return quote
    return {}


def _description(row: Any) -> Description | None:
    cmc_id = whole(row.get("id")) if isinstance(row, dict) else None
    if not cmc_id:
        return None
    urls = row.get("urls")
    links = {
        kind: tuple(filter(None, map(url, addresses)))
        for named, addresses in (urls.items() if isinstance(urls, dict) else ())
        if (kind := name(named)) and isinstance(addresses, list)
    }
    return Description(
        cmc_id=cmc_id,
        description=text(plain_text(text(row.get("description")) or "")),
        categories=_categories(row),
        links={kind: addresses for kind, addresses in links.items() if addresses},
        launched_on=day(row.get("date_launched")),
        logo=url(row.get("logo")),
    )


def _categories(row: dict[str, Any]) -> tuple[str, ...]:
    """The tags of the group CATEGORY, or all tags if there is none; other groups name investors."""
    names, groups = row.get("tag-names"), row.get("tag-groups")
    if not isinstance(names, list):
        return ()
    tags = list(map(name, names))
    if isinstance(groups, list) and "CATEGORY" in groups:
        tags = [tag for tag, group in zip(tags, groups, strict=False) if group == "CATEGORY"]
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def _data(body: bytes, kind: type) -> Any:
    answer = json_of(NAME, body)
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, kind):
        raise BadMessage(NAME, f"the data of the answer is not a {kind.__name__}", body)
    return data


def _path(path: str, key: str | None) -> str:
    return path if key else f"/public-api{path}"
