"""Collection and combination of daily sentiment scores, independent of Dagster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any, NamedTuple

import msgspec
from psycopg import AsyncConnection

from coinwatch.errors import BadMessage, Fatal, SourceError
from coinwatch.sentiment.mentions import WELL_KNOWN
from coinwatch.sentiment.scoring import TEXT_SOURCES, DayScore, Scale, SentimentSource, combine
from coinwatch.times import MINUTE_US, day_start_us, utc_day
from pipelines.sentiment.clients import ScoreClients
from sources.providers import alternative, coingecko_votes, gdelt, x
from sources.providers.credentials import OPTIONAL
from warehouse.sentiment.store import asked_since, replace_scores, scores_between, store_scores, text_scores

MOST_ASSETS = 10
"""Assets whose tone is requested, which takes a minute at GDELT's rate limit."""
MOST_COUNTED = 5
"""Assets whose posts are counted, as each request costs money."""
TONE_EVERY_US = 6 * 60 * MINUTE_US
REPAIRED_DAYS = 7
"""How many days the six-hourly runs cover, to fill in after outages."""
GIVE_UP_AFTER = 2
"""Consecutive failures after which a source is skipped until the next run."""

Conn = AsyncConnection[Any]
Log = Callable[[str], None]


class Asset(NamedTuple):
    """An asset whose sentiment is wanted."""

    base: str
    names: tuple[str, ...]
    coingecko_id: str | None


class SourceResult(msgspec.Struct):
    """The result of collecting from one source."""

    days: int = 0
    """The number of daily scores received, over all assets."""
    changed: int = 0
    """The number of scores that were new or changed."""
    dropped: int = 0
    """The number of implausible entries."""
    skipped: str = ""
    """Why no request was sent; empty when one was."""
    errors: list[SourceError] = []


class Collected(msgspec.Struct, frozen=True):
    """The result of a run."""

    first: date
    last: date
    results: dict[SentimentSource, SourceResult]
    combined: int
    """The number of combined scores of these days."""

    @property
    def errors(self) -> list[SourceError]:
        """The errors of all sources."""
        return [error for result in self.results.values() for error in result.errors]


def wanted_assets(
    configured: Sequence[str], names: Mapping[str, tuple[str, ...]], ids: Mapping[str, str]
) -> list[Asset]:
    """The assets to request scores of: those of the configured markets, then the largest known ones."""
    bases = list(dict.fromkeys((*configured, *names)))[:MOST_ASSETS]
    return [
        Asset(base, tuple(dict.fromkeys((*names.get(base, ()), *WELL_KNOWN.get(base, ())))), ids.get(base))
        for base in bases
    ]


async def collect_scores(
    conn: Conn,
    clients: ScoreClients,
    assets: Sequence[Asset],
    first: date,
    last: date,
    now_us: int,
    log: Log = lambda line: None,
) -> Collected:
    """Collect and store the scores of these days, and combine them with those of stored texts.

    A failing source does not affect the others.

    Args:
        conn: To the warehouse, in autocommit.
        clients: The opened clients.
        assets: The assets to request scores of, the most important first.
        first: The first UTC day.
        last: The last UTC day.
        now_us: The current time.
        log: Receives a line for each source.

    Returns:
        The result of each source, with its errors.

    Raises:
        WarehouseError: Postgres failed.
    """
    last = min(last, utc_day(now_us))
    run = _Run(conn, first, last, now_us)
    results = {
        SentimentSource.FEAR_GREED: await run.fear_greed(clients),
        SentimentSource.VOTES: await run.votes(clients, assets),
        SentimentSource.X: await run.counts(clients, assets),
        SentimentSource.GDELT: await run.tones(clients, assets),  # last, as it takes a minute
    }
    for source, result in results.items():
        problem = "; ".join(map(str, result.errors)) or result.skipped
        log(f"{source}: {result.days} received, {result.changed} new or changed. {problem}".rstrip())
    combined = await combine_days(conn, first, last, now_us)
    return Collected(first, last, results, combined)


async def combine_days(conn: Conn, first: date, last: date, now_us: int) -> int:
    """Compute the scores of texts and the combined scores of these days; returns the number combined."""
    texts = await text_scores(conn, first, last)
    await replace_scores(conn, TEXT_SOURCES, first, last, texts, now_us)
    by_day: defaultdict[date, defaultdict[str | None, list[DayScore]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for stored in await scores_between(conn, first, last):
        by_day[stored.day][stored.base].append(stored)
    combined = [
        score
        for day, by_base in by_day.items()
        for base, own in by_base.items()
        if (score := combine(day, base, own, by_base.get(None, ()) if base else ()))
    ]
    await replace_scores(conn, [SentimentSource.COMBINED], first, last, combined, now_us)
    return len(combined)


class _Run:
    """The requests of one run to each source."""

    def __init__(self, conn: Conn, first: date, last: date, now_us: int) -> None:
        self._conn, self._first, self._last = conn, first, last
        self._now_us, self._today = now_us, utc_day(now_us)

    async def fear_greed(self, clients: ScoreClients) -> SourceResult:
        """Collect the Fear & Greed index."""
        result = SourceResult()

        async def fetch() -> list[DayScore]:
            # One more day, because days are counted back from the newest, and today's may be late.
            request = alternative.index_request((self._today - self._first).days + 2)
            index = alternative.decode_index((await clients.alternative.get(request)).body, self._today)
            result.dropped += index.dropped
            if not index.scores:
                raise BadMessage(alternative.NAME, "the answer has no valid day")
            return index.scores

        return await self._fetch_all(result, [fetch])

    async def tones(self, clients: ScoreClients, assets: Sequence[Asset]) -> SourceResult:
        """Collect GDELT's tone of the whole market and of the assets."""
        if self._last < self._today - timedelta(days=gdelt.HISTORY_DAYS):
            return SourceResult(skipped="GDELT covers the last three months only")
        due: list[tuple[str | None, tuple[str, ...]]] = [(None, gdelt.MARKET_PHRASES)]
        due += [(asset.base, phrases) for asset in assets if (phrases := gdelt.phrases_of(asset.names))]
        if self._is_routine:
            recent = await asked_since(
                self._conn, SentimentSource.GDELT, self._now_us - TONE_EVERY_US, self._now_us
            )
            due = [(base, phrases) for base, phrases in due if base not in recent]
        result = SourceResult(skipped="" if due else "requested less than six hours ago")

        async def fetch(base: str | None, phrases: tuple[str, ...]) -> list[DayScore]:
            answer = await clients.gdelt.get(gdelt.tone_request(phrases))
            tones = gdelt.decode_tones(answer.body, base, self._today)
            result.dropped += tones.dropped
            has_today = any(score.day == self._today for score in tones.scores)
            return tones.scores if has_today else [*tones.scores, self._no_value(SentimentSource.GDELT, base)]

        return await self._fetch_all(result, [partial(fetch, base, phrases) for base, phrases in due])

    async def votes(self, clients: ScoreClients, assets: Sequence[Asset]) -> SourceResult:
        """Collect CoinGecko's votes of today, once a day."""
        if self._last < self._today:
            return SourceResult(skipped="CoinGecko has today's votes only")
        requested = await self._requested_today(SentimentSource.VOTES)
        known = [asset for asset in assets if asset.coingecko_id][: coingecko_votes.MOST_COINS]
        due = [asset for asset in known if asset.base not in requested]
        result = SourceResult()
        if not due:
            result.skipped = "requested once a day" if known else "no assets are known yet"

        async def fetch(asset: Asset) -> list[DayScore]:
            answer = await clients.coingecko.get(coingecko_votes.votes_request(asset.coingecko_id or ""))
            return [coingecko_votes.decode_votes(answer.body, asset.base, self._today)]

        return await self._fetch_all(result, [partial(fetch, asset) for asset in due])

    async def counts(self, clients: ScoreClients, assets: Sequence[Asset]) -> SourceResult:
        """Collect the numbers of posts on X, once a day."""
        client = clients.x
        if client is None:
            return SourceResult(skipped=f"not configured: {OPTIONAL[SentimentSource.X]}")
        if self._last < self._today - timedelta(days=x.HISTORY_DAYS):
            return SourceResult(skipped="X covers the last seven days only")
        requested = await self._requested_today(SentimentSource.X)
        due = [asset for asset in assets if asset.names][:MOST_COUNTED]
        due = [asset for asset in due if asset.base not in requested]
        result = SourceResult(skipped="" if due else "requested once a day, because requests cost money")

        async def fetch(asset: Asset) -> list[DayScore]:
            answer = await client.get(x.counts_request(asset.base, asset.names[0]))
            counts = x.decode_counts(answer.body, asset.base, self._today)
            has_today = any(score.day == self._today for score in counts)
            return counts if has_today else [*counts, self._no_value(SentimentSource.X, asset.base)]

        return await self._fetch_all(result, [partial(fetch, asset) for asset in due])

    @property
    def _is_routine(self) -> bool:
        return self._first >= self._today - timedelta(days=REPAIRED_DAYS)

    async def _requested_today(self, source: SentimentSource) -> set[str | None]:
        return await asked_since(self._conn, source, day_start_us(self._today), self._now_us)

    def _no_value(self, source: SentimentSource, base: str | None) -> DayScore:
        scale = Scale.POSTS if source == SentimentSource.X else Scale.TONE
        return DayScore(day=self._today, source=source, base=base, value=None, scale=scale, score=None)

    async def _fetch_all(
        self, result: SourceResult, requests: Sequence[Callable[[], Awaitable[list[DayScore]]]]
    ) -> SourceResult:
        """Send requests one by one and store each answer, so that a later failure loses nothing."""
        failures = 0
        for number, request in enumerate(requests, 1):
            try:
                scores = [score for score in await request() if self._first <= score.day <= self._last]
            except SourceError as error:
                result.errors.append(error)
                failures += 1
                if failures == GIVE_UP_AFTER and number < len(requests):
                    problem = f"skipped until the next run, with {len(requests) - number} requests left"
                    result.errors.append(Fatal(error.source, problem))
                    break
                continue
            failures = 0
            result.days += sum(score.value is not None for score in scores)
            result.changed += await store_scores(self._conn, scores, self._now_us)
        return result
