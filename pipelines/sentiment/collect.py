"""Collection of scores by day, and of what they make together. Knows nothing of Dagster."""

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
from coinwatch.sentiment.scoring import TEXT_SOURCES, DayScore, Scale, Source, combine
from coinwatch.times import MINUTE_US, day_start_us, utc_day
from pipelines.sentiment.clients import ScoreClients
from sources.providers import alternative, coingecko_votes, gdelt, x
from sources.providers.sentiment_credentials import OPTIONAL
from warehouse.sentiment.store import asked_since, replace_scores, scores_between, store_scores, text_scores

MOST_ASSETS = 10
"""Whose tone is asked for: a minute at GDELT's pace."""
MOST_COUNTED = 5
"""Whose posts are counted; each costs money."""
TONE_EVERY_US = 6 * 60 * MINUTE_US
REPAIRED_DAYS = 7
"""How far back routine runs reach, now and then: an outage leaves no hole where sources have a history."""
GIVE_UP_AFTER = 2
"""Failures in a row after which a source is left alone until the next run."""

Conn = AsyncConnection[Any]
Log = Callable[[str], None]


class Asset(NamedTuple):
    """An asset whose sentiment is wanted."""

    base: str
    names: tuple[str, ...]
    coingecko_id: str | None


class Told(msgspec.Struct):
    """What became of one source."""

    days: int = 0
    """Scores of a day that it told, of any asset."""
    changed: int = 0
    """Those that were not stored so already."""
    dropped: int = 0
    """Entries that could not be."""
    not_asked: str = ""
    """Why nothing was asked; empty when something was."""
    errors: list[SourceError] = []


class Collected(msgspec.Struct, frozen=True):
    """What a run did."""

    first: date
    last: date
    told: dict[Source, Told]
    combined: int
    """Combined scores of these days."""

    @property
    def errors(self) -> list[SourceError]:
        return [error for told in self.told.values() for error in told.errors]


def wanted_assets(
    configured: Sequence[str], names: Mapping[str, tuple[str, ...]], ids: Mapping[str, str]
) -> list[Asset]:
    """The assets to ask about: those of the configured markets, then the largest that are known."""
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
    """Ask what sources tell of these days, store it, and what it makes together with the stored texts.

    A source that fails is named in the answer and the others go on; what Postgres refuses is raised.
    """
    last = min(last, utc_day(now_us))
    run = _Run(conn, first, last, now_us)
    told = {
        Source.FEAR_GREED: await run.fear_greed(clients),
        Source.VOTES: await run.votes(clients, assets),
        Source.X: await run.counts(clients, assets),
        Source.GDELT: await run.tones(clients, assets),  # last, as it takes a minute
    }
    for source, one in told.items():
        problem = "; ".join(map(str, one.errors)) or one.not_asked
        log(f"{source}: {one.days} told, {one.changed} new or changed. {problem}".rstrip())
    combined = await combine_days(conn, first, last, now_us)
    return Collected(first, last, told, combined)


async def combine_days(conn: Conn, first: date, last: date, now_us: int) -> int:
    """Make the scores of texts, and the combined ones, of what is stored of these days; returns how many."""
    texts = await text_scores(conn, first, last)
    await replace_scores(conn, TEXT_SOURCES, first, last, texts, now_us)
    by_day: defaultdict[date, defaultdict[str | None, list[DayScore]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for one in await scores_between(conn, first, last):
        by_day[one.day][one.base].append(one)
    combined = [
        score
        for day, by_base in by_day.items()
        for base, own in by_base.items()
        if (score := combine(day, base, own, by_base.get(None, ()) if base else ()))
    ]
    await replace_scores(conn, [Source.COMBINED], first, last, combined, now_us)
    return len(combined)


class _Run:
    """One run's days and clock, and what it asks of each source."""

    def __init__(self, conn: Conn, first: date, last: date, now_us: int) -> None:
        self._conn, self._first, self._last = conn, first, last
        self._now_us, self._today = now_us, utc_day(now_us)

    async def fear_greed(self, clients: ScoreClients) -> Told:
        told = Told()

        async def ask() -> list[DayScore]:
            # One more: a new day's value may come late, and every day is asked for by counting back.
            request = alternative.index_request((self._today - self._first).days + 2)
            index = alternative.decode_index((await clients.alternative.get(request)).body, self._today)
            told.dropped += index.dropped
            if not index.scores:
                raise BadMessage(alternative.NAME, "an answer without any day that could be")
            return index.scores

        return await self._ask_all(told, [ask])

    async def tones(self, clients: ScoreClients, assets: Sequence[Asset]) -> Told:
        if self._last < self._today - timedelta(days=gdelt.HISTORY_DAYS):
            return Told(not_asked="GDELT tells of the last three months")
        due: list[tuple[str | None, tuple[str, ...]]] = [(None, gdelt.MARKET_PHRASES)]
        due += [(asset.base, phrases) for asset in assets if (phrases := gdelt.phrases_of(asset.names))]
        if self._is_routine:
            recent = await asked_since(self._conn, Source.GDELT, self._now_us - TONE_EVERY_US, self._now_us)
            due = [one for one in due if one[0] not in recent]
        told = Told(not_asked="" if due else "asked less than six hours ago")

        async def ask(base: str | None, phrases: tuple[str, ...]) -> list[DayScore]:
            answer = await clients.gdelt.get(gdelt.tone_request(phrases))
            tones = gdelt.decode_tones(answer.body, base, self._today)
            told.dropped += tones.dropped
            of_today = any(one.day == self._today for one in tones.scores)
            return tones.scores if of_today else [*tones.scores, self._nothing(Source.GDELT, base)]

        return await self._ask_all(told, [partial(ask, *one) for one in due])

    async def votes(self, clients: ScoreClients, assets: Sequence[Asset]) -> Told:
        if self._last < self._today:
            return Told(not_asked="CoinGecko tells today's votes only")
        asked = await self._asked_today(Source.VOTES)
        known = [asset for asset in assets if asset.coingecko_id][: coingecko_votes.MOST_COINS]
        due = [asset for asset in known if asset.base not in asked]
        told = Told()
        if not due:
            told.not_asked = "asked once a day" if known else "which assets there are is not known yet"

        async def ask(asset: Asset) -> list[DayScore]:
            answer = await clients.coingecko.get(coingecko_votes.votes_request(asset.coingecko_id or ""))
            return [coingecko_votes.decode_votes(answer.body, asset.base, self._today)]

        return await self._ask_all(told, [partial(ask, asset) for asset in due])

    async def counts(self, clients: ScoreClients, assets: Sequence[Asset]) -> Told:
        client = clients.x
        if client is None:
            return Told(not_asked=f"not configured: {OPTIONAL[Source.X]}")
        if self._last < self._today - timedelta(days=x.HISTORY_DAYS):
            return Told(not_asked="X tells of the last seven days")
        asked = await self._asked_today(Source.X)
        due = [asset for asset in assets if asset.names][:MOST_COUNTED]
        due = [asset for asset in due if asset.base not in asked]
        told = Told(not_asked="" if due else "asked once a day, as it costs money")

        async def ask(asset: Asset) -> list[DayScore]:
            answer = await client.get(x.counts_request(asset.base, asset.names[0]))
            counts = x.decode_counts(answer.body, asset.base, self._today)
            of_today = any(one.day == self._today for one in counts)
            return counts if of_today else [*counts, self._nothing(Source.X, asset.base)]

        return await self._ask_all(told, [partial(ask, asset) for asset in due])

    @property
    def _is_routine(self) -> bool:
        return self._first >= self._today - timedelta(days=REPAIRED_DAYS)

    async def _asked_today(self, source: Source) -> set[str | None]:
        return await asked_since(self._conn, source, day_start_us(self._today), self._now_us)

    def _nothing(self, source: Source, base: str | None) -> DayScore:
        scale = Scale.POSTS if source == Source.X else Scale.TONE
        return DayScore(day=self._today, source=source, base=base, value=None, scale=scale, score=None)

    async def _ask_all(self, told: Told, asks: Sequence[Callable[[], Awaitable[list[DayScore]]]]) -> Told:
        """Ask and store, one by one: what was had stays when a later request fails."""
        in_a_row = 0
        for number, ask in enumerate(asks, 1):
            try:
                scores = [one for one in await ask() if self._first <= one.day <= self._last]
            except SourceError as error:
                told.errors.append(error)
                in_a_row += 1
                if in_a_row == GIVE_UP_AFTER and number < len(asks):
                    problem = f"left alone until the next run, {len(asks) - number} more not asked"
                    told.errors.append(Fatal(error.source, problem))
                    break
                continue
            in_a_row = 0
            told.days += sum(one.value is not None for one in scores)
            told.changed += await store_scores(self._conn, scores, self._now_us)
        return told
