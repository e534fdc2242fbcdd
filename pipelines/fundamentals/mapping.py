"""Mapping of the bases of markets to assets, with a reason for each decision. Pure: no I/O.

Tickers are ambiguous: dozens of coins are called CAT, and copies of BTC on other chains are called BTC.
The mapping therefore relies on contract addresses and on our own prices, never on the name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median

import msgspec

AGREES = 0.03
"""A candidate's price within this of ours counts as equal, because it may be minutes old; 0.03 is 3 %."""
CONTRADICTS = 0.2
"""A decision stands until the price differs by more than this."""
OUTWEIGHS = 10.0
"""Of several coins at our price the original is at least this many times as large as its copies."""
DOLLARS = ("USD", "USDT", "USDC")


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A coin with the ticker of a base."""

    id: str
    price_usd: float | None = None
    """None when unknown, or too old to compare."""
    market_cap_usd: float | None = None
    contracts: Collection[str] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The asset of a base, or the reason why it is undecided."""

    base: str
    asset_id: str | None = None
    """None when undecided."""
    by: str | None = None
    """``override``, ``contract`` or ``price``; None when undecided."""
    reason: str


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A base of our markets, with our own price and contract addresses."""

    base: str
    price_usd: float | None = None
    contracts: Collection[str] = ()
    previous: Decision | None = None
    """The previous decision, unless it was an override."""


def decide(
    base: Base, candidates: Sequence[Candidate], overrides: Mapping[str, str], listed: Collection[str]
) -> Decision:
    """Choose the asset of a base.

    Args:
        base: The base, with our own price and contract addresses.
        candidates: The coins with its ticker.
        overrides: Asset ids by base, which take precedence.
        listed: The known asset ids; an override must be one of them.
    """
    if wanted := overrides.get(base.base):
        if wanted in listed:
            return _decided(base, wanted, "override", "set by COINWATCH_ASSET_IDS")
        return _undecided(base, f"COINWATCH_ASSET_IDS sets {wanted}, which CoinGecko does not list")
    if not candidates:
        return _undecided(base, "CoinGecko lists no coin with this ticker")
    contracts = set(base.contracts)
    same_contract = [candidate for candidate in candidates if contracts.intersection(candidate.contracts)]
    if len(same_contract) == 1:
        return _by_contract(base, same_contract[0])
    for candidate in candidates:
        is_previous = base.previous and base.previous.asset_id == candidate.id
        if base.previous and is_previous and not _contradicts(base, candidate):
            return base.previous
    return _by_price(base, candidates)


def _by_contract(base: Base, candidate: Candidate) -> Decision:
    if _contradicts(base, candidate):
        reason = f"the contract address is that of {candidate.id}, but {_prices(base, candidate)}"
        return _undecided(base, reason)
    return _decided(base, candidate.id, "contract", "the contract address matches")


def _by_price(base: Base, candidates: Sequence[Candidate]) -> Decision:
    if base.price_usd is None:
        return _undecided(base, "we have no own price to compare with")
    priced = [candidate for candidate in candidates if candidate.price_usd is not None]
    if not priced:
        return _undecided(base, f"none of {len(candidates)} candidates has a recent price")
    priced.sort(key=lambda candidate: (_distance(base, candidate), candidate.id))
    agreeing = [candidate for candidate in priced if _distance(base, candidate) <= AGREES]
    if not agreeing:
        return _undecided(base, f"none of {len(priced)} candidates has our price: {_prices(base, priced[0])}")
    if len(agreeing) == 1:
        return _decided(base, agreeing[0].id, "price", _prices(base, agreeing[0]))
    largest, second = sorted(agreeing, key=_by_size)[:2]
    if largest.market_cap_usd and largest.market_cap_usd >= OUTWEIGHS * (second.market_cap_usd or 0.0):
        reason = f"{_prices(base, largest)}; by far the largest of {len(agreeing)} candidates at that price"
        return _decided(base, largest.id, "price", reason)
    names = ", ".join(sorted(candidate.id for candidate in agreeing)[:5])
    return _undecided(base, f"{len(agreeing)} candidates have our price, none by far the largest: {names}")


def _by_size(candidate: Candidate) -> tuple[float, str]:
    """Sorts the largest first."""
    return -(candidate.market_cap_usd or 0.0), candidate.id


def _decided(base: Base, asset_id: str, by: str, reason: str) -> Decision:
    return Decision(base=base.base, asset_id=asset_id, by=by, reason=reason)


def _undecided(base: Base, reason: str) -> Decision:
    return Decision(base=base.base, reason=reason)


def _distance(base: Base, candidate: Candidate) -> float:
    """The symmetric difference of the candidate's price and ours: 0.1 is 10 %; infinite when unknown."""
    if base.price_usd is None or candidate.price_usd is None:
        return float("inf")
    return max(base.price_usd, candidate.price_usd) / min(base.price_usd, candidate.price_usd) - 1


def _contradicts(base: Base, candidate: Candidate) -> bool:
    return CONTRADICTS < _distance(base, candidate) < float("inf")


def _prices(base: Base, candidate: Candidate) -> str:
    return f"{candidate.id} is at {candidate.price_usd:.6g} USD, ours at {base.price_usd:.6g}"


def dollar_prices(prices: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """Prices in USD by base, from (base, quote, price) of several pairs.

    USDT and USDC count as dollars. Other quotes are converted by their own USD price, or by the bases
    priced in both. A base priced only in quotes that cannot be converted is left out.
    """
    by_quote: defaultdict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for base, quote, price in prices:
        by_quote["USD" if quote in DOLLARS else quote][base].append(price)
    in_dollars = {base: median(values) for base, values in by_quote.pop("USD", {}).items()}
    others: defaultdict[str, list[float]] = defaultdict(list)
    for quote, bases in by_quote.items():
        shared = [in_dollars[base] / median(values) for base, values in bases.items() if base in in_dollars]
        worth = in_dollars.get(quote) or (median(shared) if shared else None)
        if worth is None:
            continue
        for base, values in bases.items():
            others[base] += [price * worth for price in values]
    return {base: median(values) for base, values in others.items()} | in_dollars


def same_coin(
    coins: Iterable[Candidate], others: Iterable[tuple[str, Candidate]], tickers: Mapping[str, str]
) -> dict[str, str]:
    """Match our coins with those of another provider, by a shared contract or a unique equal price.

    Args:
        coins: Our coins.
        others: The other provider's coins, each with its ticker.
        tickers: The tickers of our coins by id.

    Returns:
        The other provider's ids by ours.
    """
    ours = list(coins)
    by_ticker: defaultdict[str, list[Candidate]] = defaultdict(list)
    by_contract: dict[str, Candidate] = {}
    for ticker, other in others:
        by_ticker[ticker].append(other)
        by_contract.update(dict.fromkeys(other.contracts, other))
    same: dict[str, str] = {}
    for coin in ours:
        shared = {by_contract[address].id for address in coin.contracts if address in by_contract}
        if len(shared) == 1:
            same[coin.id] = shared.pop()
            continue
        base = Base(base=tickers[coin.id], price_usd=coin.price_usd)
        agreeing = [other for other in by_ticker[tickers[coin.id]] if _distance(base, other) <= AGREES]
        if len(agreeing) == 1:
            same[coin.id] = agreeing[0].id
    taken = defaultdict(list)
    for ours_id, theirs_id in same.items():
        taken[theirs_id].append(ours_id)
    sizes = {coin.id: coin.market_cap_usd or 0.0 for coin in ours}
    return {max(ids, key=lambda our_id: (sizes[our_id], our_id)): theirs for theirs, ids in taken.items()}
