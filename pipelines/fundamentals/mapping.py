"""Which asset a base of markets is. Pure: what is known goes in, a decision with its reason comes out.

Tickers clash: dozens of coins are called CAT, and copies of BTC on other chains are called BTC too.
So the name decides nothing. A contract address does, and so does a price that is ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median

import msgspec

AGREES = 0.03
"""A candidate's price within this of ours is the same: theirs may be minutes old."""
CONTRADICTS = 0.2
"""A decision once made stands until the price is further off than this."""
OUTWEIGHS = 10.0
"""Of several coins at our price, copies of one another, the original is this many times as large."""
DOLLARS = ("USD", "USDT", "USDC")


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A coin with the ticker of a base."""

    id: str
    price_usd: float | None = None
    """None: not known, or too old to be compared."""
    market_cap_usd: float | None = None
    contracts: Collection[str] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Which asset it is; None with the reason why nothing could be decided."""

    base: str
    asset_id: str | None = None
    by: str | None = None
    """override, contract or price."""
    reason: str


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A base of our markets, and what we know of it ourselves."""

    base: str
    price_usd: float | None = None
    contracts: Collection[str] = ()
    before: Decision | None = None
    """What was decided before, by no override."""


def decide(
    base: Base, candidates: Sequence[Candidate], overrides: Mapping[str, str], listed: Collection[str]
) -> Decision:
    """Which of ``candidates`` the base is. ``overrides`` win; they must be among the ``listed`` ids."""
    if wanted := overrides.get(base.base):
        if wanted in listed:
            return _is(base, wanted, "override", "COINWATCH_ASSET_IDS says so")
        return _undecided(base, f"COINWATCH_ASSET_IDS says {wanted}, which CoinGecko does not list")
    if not candidates:
        return _undecided(base, "CoinGecko lists no coin with this ticker")
    contracts = set(base.contracts)
    of_contract = [one for one in candidates if contracts.intersection(one.contracts)]
    if len(of_contract) == 1:
        return _by_contract(base, of_contract[0])
    for one in candidates:
        if base.before and base.before.asset_id == one.id and not _contradicts(base, one):
            return base.before
    return _by_price(base, candidates)


def _by_contract(base: Base, one: Candidate) -> Decision:
    if _contradicts(base, one):
        return _undecided(base, f"the contract is that of {one.id}, but {_prices(base, one)}")
    return _is(base, one.id, "contract", "its contract address is known to be the same")


def _by_price(base: Base, candidates: Sequence[Candidate]) -> Decision:
    if base.price_usd is None:
        return _undecided(base, "no price of ours to compare with")
    priced = [one for one in candidates if one.price_usd is not None]
    if not priced:
        return _undecided(base, f"no recent price of its {len(candidates)} candidates")
    priced.sort(key=lambda one: (_distance(base, one), one.id))
    agreeing = [one for one in priced if _distance(base, one) <= AGREES]
    if not agreeing:
        return _undecided(
            base, f"none of {len(priced)} candidates is at our price: {_prices(base, priced[0])}"
        )
    if len(agreeing) == 1:
        return _is(base, agreeing[0].id, "price", _prices(base, agreeing[0]))
    largest, second = sorted(agreeing, key=lambda one: (-(one.market_cap_usd or 0.0), one.id))[:2]
    if largest.market_cap_usd and largest.market_cap_usd >= OUTWEIGHS * (second.market_cap_usd or 0.0):
        return _is(
            base,
            largest.id,
            "price",
            f"{_prices(base, largest)}; by far the largest of {len(agreeing)} at it",
        )
    names = ", ".join(sorted(one.id for one in agreeing)[:5])
    return _undecided(base, f"{len(agreeing)} candidates are at our price, none by far the largest: {names}")


def _is(base: Base, asset_id: str, by: str, reason: str) -> Decision:
    return Decision(base=base.base, asset_id=asset_id, by=by, reason=reason)


def _undecided(base: Base, reason: str) -> Decision:
    return Decision(base=base.base, reason=reason)


def _distance(base: Base, one: Candidate) -> float:
    """How far the price is from ours: 0.1 is 10 %, as far up as down."""
    if base.price_usd is None or one.price_usd is None:
        return float("inf")
    return max(base.price_usd, one.price_usd) / min(base.price_usd, one.price_usd) - 1


def _contradicts(base: Base, one: Candidate) -> bool:
    return CONTRADICTS < _distance(base, one) < float("inf")


def _prices(base: Base, one: Candidate) -> str:
    return f"{one.id} is at {one.price_usd:.6g} USD, ours at {base.price_usd:.6g}"


def dollar_prices(prices: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """Prices in USD by base, out of prices as (base, quote, price) of several pairs.

    USDT and USDC count as dollars. Any other quote is worth what the bases priced in both say; a base
    that is only priced in quotes of which nothing says that has no price.
    """
    by_quote: defaultdict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for base, quote, price in prices:
        by_quote["USD" if quote in DOLLARS else quote][base].append(price)
    in_dollars = {base: median(found) for base, found in by_quote.pop("USD", {}).items()}
    others: defaultdict[str, list[float]] = defaultdict(list)
    for quote, bases in by_quote.items():
        shared = [in_dollars[base] / median(found) for base, found in bases.items() if base in in_dollars]
        worth = in_dollars.get(quote) or (median(shared) if shared else None)
        if worth is None:
            continue
        for base, found in bases.items():
            others[base] += [price * worth for price in found]
    return {base: median(found) for base, found in others.items()} | in_dollars


def same_coin(
    coins: Iterable[Candidate], others: Iterable[tuple[str, Candidate]], tickers: Mapping[str, str]
) -> dict[str, str]:
    """Which of another provider's coins are the same: their ids by ours.

    ``others`` come with their ticker, ``tickers`` are those of ``coins`` by id. A shared contract
    decides, else a price that agrees where only one coin of theirs and one of ours have it.
    """
    ours = list(coins)
    by_ticker: defaultdict[str, list[Candidate]] = defaultdict(list)
    by_contract: dict[str, Candidate] = {}
    for ticker, other in others:
        by_ticker[ticker].append(other)
        by_contract.update(dict.fromkeys(other.contracts, other))
    same: dict[str, str] = {}
    for one in ours:
        shared = {by_contract[address].id for address in one.contracts if address in by_contract}
        if len(shared) == 1:
            same[one.id] = shared.pop()
            continue
        base = Base(base=tickers[one.id], price_usd=one.price_usd)
        agreeing = [other for other in by_ticker[tickers[one.id]] if _distance(base, other) <= AGREES]
        if len(agreeing) == 1:
            same[one.id] = agreeing[0].id
    taken = defaultdict(list)
    for ours_id, theirs_id in same.items():
        taken[theirs_id].append(ours_id)
    sizes = {one.id: one.market_cap_usd or 0.0 for one in ours}
    return {max(ids, key=lambda one: (sizes[one], one)): theirs for theirs, ids in taken.items()}
