"""Collection of fundamentals as plain async functions, independent of Dagster."""

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
"""Pages of the largest coins, which are stored whether a market trades them or not."""
MOST_PAGES = 6
"""The most pages of further coins in one hour: together 5,200 of the 10,000 calls a month."""
RECENT_US = 2 * HOUR_US
"""Only prices younger than this are compared."""
DESCRIBED = 1_000
"""The number of assets with descriptions: ten requests a week."""

Conn = AsyncConnection[Any]
Log = Callable[[str], None]


class Providers(NamedTuple):
    """The opened clients."""

    coingecko: HttpSource
    coinmarketcap: HttpSource
    defillama: HttpSource
    gateio: HttpSource
    """For the contract addresses of the coins it trades."""
    cmc_key: str | None = None


class SourceResult(msgspec.Struct):
    """The result of collecting from one source."""

    stored: int = 0
    """The number of assets with stored metrics."""
    dropped: Counter[str] = msgspec.field(default_factory=Counter)
    """The number of implausible values by field, by the source's names."""
    dropped_of: list[str] = []
    """The assets with implausible values."""
    unreadable: int = 0
    """The number of entries without an id."""
    errors: list[SourceError] = []


class Collected(msgspec.Struct, frozen=True):
    """The result of an hour's collection."""

    hour_us: int
    results: dict[MetricsSource, SourceResult]
    decisions: list[Decision]
    changed: int
    """The number of bases mapped to another asset than before."""
    not_requested: int
    """The number of coins not requested because of the hourly limit of pages."""
    without_metrics: list[str]
    """Assets of bases for which CoinGecko returned nothing."""

    @property
    def has_metrics(self) -> bool:
        """Whether a source returned market caps; value locked alone does not count."""
        return any(
            result.stored for source, result in self.results.items() if source != MetricsSource.DEFILLAMA
        )


async def collect_metrics(
    conn: Conn,
    providers: Providers,
    configured: Collection[str],
    overrides: Mapping[str, str],
    now_us: int,
    log: Log = lambda line: None,
) -> Collected:
    """Map each base to an asset, and store the metrics of those and of the largest coins.

    A failing source does not affect the others.

    Args:
        conn: To the warehouse, in autocommit.
        providers: The opened clients.
        configured: Bases to map even if nothing of them is stored yet.
        overrides: Asset ids by base, which take precedence over the mapping.
        now_us: The current time.
        log: Receives a line of progress for each source.

    Returns:
        The result of each source, with its errors, and the decisions on all bases.

    Raises:
        WarehouseError: Postgres failed.
    """
    hour_us = now_us // HOUR_US * HOUR_US
    results = {source: SourceResult() for source in MetricsSource}
    of_gecko = results[MetricsSource.COINGECKO]
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
    coins, not_requested = await _fetch_coingecko(providers.coingecko, ids, of_gecko) if is_known else ({}, 0)
    tickers = {asset.symbol for asset in known}
    there = await bases_on(conn, contracts.EXCHANGE) & undecided & tickers
    addresses = await _fetch_contracts(providers.gateio, of_gecko.errors) if coins and there else {}

    decisions: list[Decision] = []
    changed = 0
    if coins:
        candidates = _candidates(known, coins, now_us)
        by_ticker: defaultdict[str, list[Candidate]] = defaultdict(list)
        for asset in known:
            by_ticker[asset.symbol].append(candidates[asset.id])
        for base in sorted(wanted | {base for base, row in decided.items() if row.asset_id}):
            row = decided.get(base)
            previous = None
            if row and row.asset_id and row.decided_by != "override":
                previous = Decision(base=base, asset_id=row.asset_id, by=row.decided_by, reason=row.reason)
            known_base = Base(
                base=base,
                price_usd=prices.get(base),
                contracts=addresses.get(base, ()) if base in there else (),
                previous=previous,
            )
            decisions.append(decide(known_base, by_ticker[base], overrides, candidates))
        rows = [(decision.base, decision.asset_id, decision.by, decision.reason) for decision in decisions]
        changed = await store_bases(conn, rows, now_us)
        await add_coins(conn, [Coin(coin.id, coin.symbol, coin.name) for coin in coins.values()])
        metrics = {coin.id: coin.metrics for coin in coins.values()}
        of_gecko.stored = await store_metrics(conn, MetricsSource.COINGECKO, hour_us, metrics)
        await store_images(
            conn, {coin.id: coin.image for coin in coins.values() if coin.image}, coingecko.NAME
        )
    log(f"CoinGecko: {len(coins)} coins; the asset of {changed} bases changed")

    of_cmc = await _collect_coinmarketcap(conn, providers, coins, hour_us, now_us, results)
    log(f"CoinMarketCap: {len(of_cmc)} coins")
    of_bases = {decision.asset_id for decision in decisions if decision.asset_id}
    tracked = {*coins, *of_cmc, *of_bases}
    locked = await _collect_value_locked(conn, providers.defillama, tracked, hour_us, results)
    log(f"DefiLlama: {locked} assets with value locked")
    without_metrics = [] if of_gecko.errors else sorted(of_bases - coins.keys())
    return Collected(hour_us, results, decisions, changed, not_requested, without_metrics)


async def _fetch_coingecko(
    client: HttpSource, ids: list[str], result: SourceResult
) -> tuple[dict[str, CoinMetrics], int]:
    """The largest coins and those with ``ids``, by id, and the number of ids not requested."""
    coins: dict[str, CoinMetrics] = {}
    top = [coingecko.top_request(page) for page in range(1, TOP_PAGES + 1)]
    if not await _fetch_pages(client, top, coingecko.decode_metrics, coins, result):
        return coins, 0
    _check_not_empty(client, coins, result)
    missing = [coin_id for coin_id in dict.fromkeys(ids) if coin_id not in coins]
    requests = coingecko.metrics_requests(missing)
    await _fetch_pages(client, requests[:MOST_PAGES], coingecko.decode_metrics, coins, result)
    not_requested = sum(len(request.params["ids"].split(",")) for request in requests[MOST_PAGES:])
    return coins, not_requested


async def _fetch_contracts(client: HttpSource, errors: list[SourceError]) -> dict[str, frozenset[str]]:
    """Contract addresses by base; empty on failure, in which case only prices decide."""
    try:
        return contracts.decode_contracts((await client.get(contracts.contracts_request())).body)
    except SourceError as error:
        errors.append(error)
        return {}


async def _fetch_pages(
    client: HttpSource,
    requests: Iterable[RestRequest],
    decode: Callable[[bytes], Page],
    coins: dict[str, CoinMetrics],
    result: SourceResult,
) -> bool:
    """Add the coins of the pages to ``coins``. False when further requests would fail too."""
    for request in requests:
        try:
            answer = await client.get(request)
            page = decode(answer.body)
        except BadMessage as error:  # this page is bad; another may be good
            result.errors.append(error)
            continue
        except SourceError as error:
            result.errors.append(error)
            return False
        result.unreadable += page.unreadable
        for coin in page.coins:
            coins[coin.id] = coin
            result.dropped.update(coin.dropped)
            if coin.dropped:
                result.dropped_of.append(coin.id)
    return True


def _check_not_empty(client: HttpSource, largest: Mapping[str, CoinMetrics], result: SourceResult) -> None:
    if not largest and not result.errors:
        result.errors.append(BadMessage(client.name, "the list of the largest coins is empty"))


async def _collect_coinmarketcap(
    conn: Conn,
    providers: Providers,
    coins: Mapping[str, CoinMetrics],
    hour_us: int,
    now_us: int,
    results: Mapping[MetricsSource, SourceResult],
) -> set[str]:
    """Fetch its largest coins, match them with ours and store their metrics; returns our ids of them."""
    of_cmc = results[MetricsSource.COINMARKETCAP]
    listed: dict[str, CoinMetrics] = {}
    request = coinmarketcap.listings_request(key=providers.cmc_key)
    await _fetch_pages(providers.coinmarketcap, [request], coinmarketcap.decode_listings, listed, of_cmc)
    _check_not_empty(providers.coinmarketcap, listed, of_cmc)
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
    tracked: Collection[str],
    hour_us: int,
    results: Mapping[MetricsSource, SourceResult],
) -> int:
    """Store the value locked in chains, else in protocols, of the tracked assets; returns their number."""
    of_llama = results[MetricsSource.DEFILLAMA]
    if not tracked:
        return 0
    usd: dict[str, float] = {}
    parents: dict[str, str] = {}
    try:
        parents = defillama.decode_parents((await client.get(defillama.parents_request())).body)
    except SourceError as error:
        of_llama.errors.append(error)
    for request, decode in (
        (defillama.protocols_request(), lambda body: defillama.decode_protocols(body, parents)),
        (defillama.chains_request(), defillama.decode_chains),
    ):
        try:
            locked = decode((await client.get(request)).body)
        except SourceError as error:
            of_llama.errors.append(error)
            continue
        of_llama.dropped["tvl"] += locked.dropped
        usd.update(locked.usd)
    metrics = {asset_id: Metrics(tvl_usd=usd[asset_id]) for asset_id in tracked if asset_id in usd}
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
    """The result of a collection of descriptions."""

    listed: Listed | None
    """The changes of the list of all coins; None when it could not be fetched."""
    requested: int
    described: int
    errors: list[SourceError]


async def collect_metadata(conn: Conn, providers: Providers, now_us: int) -> Described:
    """Refresh the list of all coins and the descriptions of the tracked assets.

    A failing source does not affect the other; its errors are in the result. Raises WarehouseError.
    """
    errors: list[SourceError] = []
    listed = await _refresh_list(conn, providers.coingecko, errors)
    ours = await to_describe(conn, DESCRIBED)
    described = 0
    for request in coinmarketcap.descriptions_requests(list(ours), key=providers.cmc_key):
        try:
            answer = await providers.coinmarketcap.get(request)
            descriptions = coinmarketcap.decode_descriptions(answer.body)
        except BadMessage as error:
            errors.append(error)
            continue
        except SourceError as error:
            errors.append(error)
            break
        by_id = {ours[entry.cmc_id]: entry for entry in descriptions if entry.cmc_id in ours}
        described += await store_descriptions(conn, by_id, now_us)
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
        problem = f"its list has {len(coins):,} coins after {before:,} before; the previous list was kept"
        errors.append(BadMessage(client.name, problem, answer.body))
        return None
    return await store_coins(conn, coins)
