"""Collection of fundamentals as plain async functions. Knows nothing of Dagster."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from psycopg import AsyncConnection

from coinwatch.assets import Coin, CoinMetrics, Metrics, MetricsSource
from coinwatch.errors import BadMessage, SourceError
from coinwatch.times import MINUTE_US
from pipelines.fundamentals.mapping import Base, Candidate, Decision, decide, dollar_prices, same_coin
from sources import contracts
from sources.exchanges.base import RestRequest
from sources.http import HttpSource
from sources.providers import coingecko, coinmarketcap, defillama
from sources.providers.lenient_fields import Page
from warehouse.assets.metrics import bases, bases_on, our_prices, store_bases, store_metrics
from warehouse.assets.store import (
    KnownAsset,
    Listed,
    add_coins,
    assets_called,
    cmc_ids,
    listed_coins,
    store_cmc_ids,
    store_coins,
    store_descriptions,
    store_images,
    to_describe,
)

HOUR_US = 60 * MINUTE_US
TOP_PAGES = 1
"""Pages of the largest coins that are kept whether a market trades them or not."""
MOST_PAGES = 6
"""Pages of further coins in one hour: with the others 5,200 calls in a month, of 10,000."""
RECENT_US = 2 * HOUR_US
"""Only prices younger than this are compared."""
DESCRIBED = 1_000
"""Assets whose words and links are kept: ten requests a week."""

Conn = AsyncConnection[Any]
Log = Callable[[str], None]


class Providers(NamedTuple):
    """The clients, opened."""

    coingecko: HttpSource
    coinmarketcap: HttpSource
    defillama: HttpSource
    gateio: HttpSource
    """For the contracts of what it trades."""
    cmc_key: str | None = None


class Told(msgspec.Struct):
    """What one source said."""

    stored: int = 0
    """Assets."""
    dropped: Counter[str] = msgspec.field(default_factory=Counter)
    """How often a field was absurd, by the source's name of it."""
    dropped_of: list[str] = []
    """The assets it was absurd of."""
    unreadable: int = 0
    """Entries without even an id."""
    errors: list[SourceError] = []


class Collected(msgspec.Struct, frozen=True):
    """What an hour's collection did."""

    hour_us: int
    told: dict[MetricsSource, Told]
    decisions: list[Decision]
    changed: int
    """Decisions that name another asset than before."""
    left_out: int
    """Coins not asked for, as an hour has only so many pages."""
    not_told: list[str]
    """Assets of bases that CoinGecko was asked about, and said nothing of."""

    @property
    def has_metrics(self) -> bool:
        """Whether anybody told market caps; value locked alone is not enough."""
        return any(told.stored for source, told in self.told.items() if source != MetricsSource.DEFILLAMA)


async def collect_metrics(
    conn: Conn,
    providers: Providers,
    configured: Collection[str],
    overrides: Mapping[str, str],
    now_us: int,
    log: Log = lambda line: None,
) -> Collected:
    """Decide which asset each base is, and store what all sources say of those and of the largest coins.

    ``configured`` are bases wanted although nothing of them may be stored yet. A source that fails is
    named in the answer and the others go on; what Postgres refuses is raised.
    """
    hour_us = now_us // HOUR_US * HOUR_US
    told = {source: Told() for source in MetricsSource}
    of_gecko = told[MetricsSource.COINGECKO]
    is_known = bool(await listed_coins(conn)) or await _refresh_list(
        conn, providers.coingecko, of_gecko.errors
    )
    pairs = await our_prices(conn, now_us)
    prices = dollar_prices(pairs)
    wanted = {*configured, *overrides, *(base for base, _, _ in pairs)}
    decided = await bases(conn)
    pinned = {*overrides.values(), *(row.asset_id for row in decided.values() if row.asset_id)}
    known = await assets_called(conn, wanted, pinned)
    undecided = wanted - {base for base, row in decided.items() if row.asset_id} - set(overrides)
    ids = [asset.id for asset in known if asset.id in pinned]
    ids += [asset.id for asset in known if asset.symbol in undecided and asset.id not in pinned]
    coins, left_out = await _ask_coingecko(providers.coingecko, ids, of_gecko) if is_known else ({}, 0)
    tickers = {asset.symbol for asset in known}
    there = await bases_on(conn, contracts.EXCHANGE) & undecided & tickers
    addresses = await _ask_contracts(providers.gateio, of_gecko.errors) if coins and there else {}

    decisions: list[Decision] = []
    changed = 0
    if coins:
        candidates = _candidates(known, coins, now_us)
        by_ticker: defaultdict[str, list[Candidate]] = defaultdict(list)
        for asset in known:
            by_ticker[asset.symbol].append(candidates[asset.id])
        for base in sorted(wanted | {base for base, row in decided.items() if row.asset_id}):
            row = decided.get(base)
            before = None
            if row and row.asset_id and row.decided_by != "override":
                before = Decision(base=base, asset_id=row.asset_id, by=row.decided_by, reason=row.reason)
            asked = Base(
                base=base,
                price_usd=prices.get(base),
                contracts=addresses.get(base, ()) if base in there else (),
                before=before,
            )
            decisions.append(decide(asked, by_ticker[base], overrides, candidates))
        changed = await store_bases(
            conn, [(one.base, one.asset_id, one.by, one.reason) for one in decisions], now_us
        )
        await add_coins(conn, [Coin(coin.id, coin.symbol, coin.name) for coin in coins.values()])
        metrics = {coin.id: coin.metrics for coin in coins.values()}
        of_gecko.stored = await store_metrics(conn, MetricsSource.COINGECKO, hour_us, metrics)
        await store_images(
            conn, {coin.id: coin.image for coin in coins.values() if coin.image}, coingecko.NAME
        )
    log(f"CoinGecko: {len(coins)} coins; {changed} bases decided anew")

    of_cmc = await _collect_coinmarketcap(conn, providers, coins, hour_us, now_us, told)
    log(f"CoinMarketCap: {len(of_cmc)} coins")
    mattering = {*coins, *of_cmc, *(one.asset_id for one in decisions if one.asset_id)}
    locked = await _collect_value_locked(conn, providers.defillama, mattering, hour_us, told)
    log(f"DefiLlama: {locked} assets with value locked")
    behind_bases = {one.asset_id for one in decisions if one.asset_id}
    not_told = [] if of_gecko.errors else sorted(behind_bases - coins.keys())
    return Collected(hour_us, told, decisions, changed, left_out, not_told)


async def _ask_coingecko(
    client: HttpSource, ids: list[str], told: Told
) -> tuple[dict[str, CoinMetrics], int]:
    """The largest coins and those with ``ids``, by id; and how many ids were not asked for."""
    coins: dict[str, CoinMetrics] = {}
    top = [coingecko.top_request(page) for page in range(1, TOP_PAGES + 1)]
    if not await _ask_pages(client, top, coingecko.decode_metrics, coins, told):
        return coins, 0
    _note_emptiness(client, coins, told)
    missing = [one for one in dict.fromkeys(ids) if one not in coins]
    requests = coingecko.metrics_requests(missing)
    await _ask_pages(client, requests[:MOST_PAGES], coingecko.decode_metrics, coins, told)
    left_out = sum(len(request.params["ids"].split(",")) for request in requests[MOST_PAGES:])
    return coins, left_out


async def _ask_contracts(client: HttpSource, errors: list[SourceError]) -> dict[str, frozenset[str]]:
    """Contract addresses by base; none when they cannot be had: then prices decide alone."""
    try:
        return contracts.decode_contracts((await client.get(contracts.contracts_request())).body)
    except SourceError as error:
        errors.append(error)
        return {}


async def _ask_pages(
    client: HttpSource,
    requests: Iterable[RestRequest],
    decode: Callable[[bytes], Page],
    coins: dict[str, CoinMetrics],
    told: Told,
) -> bool:
    """Add what pages say to ``coins``. False when no further page need be asked for."""
    for request in requests:
        try:
            answer = await client.get(request)
            page = decode(answer.body)
        except BadMessage as error:  # this page is bad; another may be good
            told.errors.append(error)
            continue
        except SourceError as error:
            told.errors.append(error)
            return False
        told.unreadable += page.unreadable
        for coin in page.coins:
            coins[coin.id] = coin
            told.dropped.update(coin.dropped)
            if coin.dropped:
                told.dropped_of.append(coin.id)
    return True


def _note_emptiness(client: HttpSource, largest: Mapping[str, CoinMetrics], told: Told) -> None:
    if not largest and not told.errors:
        told.errors.append(BadMessage(client.name, "its list of the largest coins has none"))


async def _collect_coinmarketcap(
    conn: Conn,
    providers: Providers,
    coins: Mapping[str, CoinMetrics],
    hour_us: int,
    now_us: int,
    told: Mapping[MetricsSource, Told],
) -> set[str]:
    """Ask for its largest coins, find out which are ours, and store those; returns our ids of them."""
    of_cmc = told[MetricsSource.COINMARKETCAP]
    listed: dict[str, CoinMetrics] = {}
    request = coinmarketcap.listings_request(key=providers.cmc_key)
    await _ask_pages(providers.coinmarketcap, [request], coinmarketcap.decode_listings, listed, of_cmc)
    _note_emptiness(providers.coinmarketcap, listed, of_cmc)
    if not listed:
        return set()
    if coins:
        ours = await assets_called(conn, (), coins)
        same = same_coin(
            _candidates(ours, coins, now_us).values(),
            [(coin.symbol, _candidate(coin, _contracts(coin), now_us)) for coin in listed.values()],
            {asset.id: asset.symbol for asset in ours},
        )
        await store_cmc_ids(conn, {asset_id: int(cmc_id) for asset_id, cmc_id in same.items()})
    numbers = await cmc_ids(conn)
    metrics = {
        asset_id: listed[str(number)].metrics for asset_id, number in numbers.items() if str(number) in listed
    }
    of_cmc.stored = await store_metrics(conn, MetricsSource.COINMARKETCAP, hour_us, metrics)
    return set(metrics)


async def _collect_value_locked(
    conn: Conn,
    client: HttpSource,
    mattering: Collection[str],
    hour_us: int,
    told: Mapping[MetricsSource, Told],
) -> int:
    """Store what is locked in chains, else in protocols, of the assets that matter."""
    of_llama = told[MetricsSource.DEFILLAMA]
    if not mattering:
        return 0
    usd: dict[str, float] = {}
    for request, decode in (
        (defillama.protocols_request(), defillama.decode_protocols),
        (defillama.chains_request(), defillama.decode_chains),
    ):
        try:
            locked = decode((await client.get(request)).body)
        except SourceError as error:
            of_llama.errors.append(error)
            continue
        of_llama.dropped["tvl"] += locked.dropped
        usd.update(locked.usd)
    metrics = {one: Metrics(tvl_usd=usd[one]) for one in mattering if one in usd}
    of_llama.stored = await store_metrics(conn, MetricsSource.DEFILLAMA, hour_us, metrics)
    return of_llama.stored


def _candidates(
    assets: Iterable[KnownAsset], coins: Mapping[str, CoinMetrics], now_us: int
) -> dict[str, Candidate]:
    return {
        asset.id: (
            _candidate(coins[asset.id], asset.contracts, now_us)
            if asset.id in coins
            else Candidate(id=asset.id, contracts=asset.contracts)
        )
        for asset in assets
    }


def _candidate(coin: CoinMetrics, addresses: Collection[str], now_us: int) -> Candidate:
    metrics = coin.metrics
    is_recent = metrics.observed_us is not None and abs(now_us - metrics.observed_us) < RECENT_US
    return Candidate(
        id=coin.id,
        price_usd=metrics.price_usd if is_recent else None,
        market_cap_usd=metrics.market_cap_usd,
        contracts=addresses,
    )


def _contracts(coin: CoinMetrics) -> tuple[str, ...]:
    return (coin.contract,) if coin.contract else ()


class Described(msgspec.Struct, frozen=True):
    """What a collection of descriptions did."""

    listed: Listed | None
    """What changed in the list of all coins; None: it could not be had."""
    asked: int
    described: int
    errors: list[SourceError]


async def collect_metadata(conn: Conn, providers: Providers, now_us: int) -> Described:
    """Refresh the list of all coins, and what the assets that matter are.

    A source that fails is named in the answer and the other goes on; what Postgres refuses is raised.
    """
    errors: list[SourceError] = []
    listed = await _refresh_list(conn, providers.coingecko, errors)
    ours = await to_describe(conn, DESCRIBED)
    described = 0
    for request in coinmarketcap.descriptions_requests(list(ours), key=providers.cmc_key):
        try:
            answer = await providers.coinmarketcap.get(request)
            told = coinmarketcap.decode_descriptions(answer.body)
        except BadMessage as error:
            errors.append(error)
            continue
        except SourceError as error:
            errors.append(error)
            break
        of_ours = {ours[one.cmc_id]: one for one in told if one.cmc_id in ours}
        described += await store_descriptions(conn, of_ours, now_us)
    return Described(listed, len(ours), described, errors)


async def _refresh_list(conn: Conn, client: HttpSource, errors: list[SourceError]) -> Listed | None:
    try:
        answer = await client.get(coingecko.coins_request())
        coins = coingecko.decode_coins(answer.body)
    except SourceError as error:
        errors.append(error)
        return None
    before = await listed_coins(conn)
    if not coins or len(coins) < before / 2:
        problem = f"its list has {len(coins):,} coins and had {before:,} before; that one was kept"
        errors.append(BadMessage(client.name, problem, answer.body))
        return None
    return await store_coins(conn, coins)
