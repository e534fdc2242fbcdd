"""DefiLlama: total value locked in protocols and chains.

Documentation (api-docs.defillama.com): "/protocols", "/v2/chains"; no key. "/lite/protocols2", which
DefiLlama's own pages read, names the coins of parent protocols. Coins have CoinGecko's ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec

from coinwatch.errors import BadMessage
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import Budget, HttpSource, Patience
from sources.providers.lenient_fields import Fields, json_of, text

NAME = "defillama"

LIMIT = RateLimit(capacity=2, per_second=10 / 60)
"""DefiLlama documents no limit."""
_NOT_LOCKED = frozenset({"CEX", "Chain"})
"""Categories that DefiLlama's totals exclude too: customers' funds on exchanges, and bridges of chains."""


class Locked(msgspec.Struct, frozen=True):
    """Total value locked by CoinGecko id, in USD."""

    usd: dict[str, float]
    dropped: int
    """The number of entries with an implausible value."""


def defillama_http(
    root: str, budget: Budget, *, scale: float = 1.0, patience: Patience | None = None
) -> HttpSource:
    """Make the client; ``scale`` is the setting ``rate_limit_scale``."""
    return HttpSource(
        NAME, root, budget, LIMIT.scaled(scale), patience=patience or Patience(read_s=30, total_s=120)
    )


def protocols_request() -> RestRequest:
    """The request for all protocols; the answer has some ten megabytes."""
    return RestRequest("/protocols")


def parents_request() -> RestRequest:
    """The request for the parent protocols; the answer has some megabytes."""
    return RestRequest("/lite/protocols2")


def decode_parents(body: bytes) -> dict[str, str]:
    """``{"parentProtocols":[{"id":"parent#uniswap","name":"Uniswap","gecko_id":"uniswap"}]}``

    Returns coins by parent. Raises BadMessage.
    """
    answer = json_of(NAME, body)
    parents = answer.get("parentProtocols") if isinstance(answer, dict) else None
    if not isinstance(parents, list):
        raise BadMessage(NAME, "the answer has no list of parent protocols", body)
    return {
        parent: coin
        for row in parents
        if isinstance(row, dict) and (parent := text(row.get("id"))) and (coin := text(row.get("gecko_id")))
    }


def decode_protocols(body: bytes, parents: Mapping[str, str] | None = None) -> Locked:
    """``[{"name":"Lido","gecko_id":"lido-dao","parentProtocol":null,"category":"Liquid Staking",
    "tvl":25e9}]``

    Versions of one protocol are separate entries of a parent, and often none or only one has the coin's
    id. An entry without an id counts for the only coin that the parent's entries name, or, where they name
    none, for the parent's own. Entries of a parent with several coins are separate protocols.

    Args:
        body: The answer.
        parents: The coins of parents, as ``decode_parents`` returns them.

    Raises:
        BadMessage: The answer is not a list of protocols.
    """
    rows = [row for row in _rows(body) if text(row.get("category")) not in _NOT_LOCKED]
    named: defaultdict[str | None, set[str]] = defaultdict(set)
    for row in rows:
        if coin := text(row.get("gecko_id")):
            named[text(row.get("parentProtocol"))].add(coin)
    of_parent = {**(parents or {}), **{parent: min(coins) for parent, coins in named.items() if parent}}

    def coin_of(row: Mapping[str, Any]) -> str | None:
        parent = text(row.get("parentProtocol"))
        inherited = of_parent.get(parent) if parent and len(named[parent]) <= 1 else None
        return text(row.get("gecko_id")) or inherited

    return _summed([(coin_of(row), row) for row in rows])


def chains_request() -> RestRequest:
    """The request for all chains."""
    return RestRequest("/v2/chains")


def decode_chains(body: bytes) -> Locked:
    """``[{"name":"Ethereum","gecko_id":"ethereum","tokenSymbol":"ETH","tvl":80e9}]``. Raises BadMessage."""
    return _summed([(text(row.get("gecko_id")), row) for row in _rows(body)])


def _summed(rows: list[tuple[str | None, dict[str, Any]]]) -> Locked:
    usd: defaultdict[str, float] = defaultdict(float)
    dropped = 0
    for coin, row in rows:
        fields = Fields(row)
        locked = fields.worth("tvl")
        dropped += len(fields.dropped)
        if coin and locked:
            usd[coin] += locked
    return Locked(dict(usd), dropped)


def _rows(body: bytes) -> list[dict[str, Any]]:
    rows = json_of(NAME, body)
    if not isinstance(rows, list):
        raise BadMessage(NAME, "the answer is not a list", body)
    return [row for row in rows if isinstance(row, dict)]
