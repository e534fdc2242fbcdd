"""Daily sentiment and the texts behind it: writes and reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from coinwatch.sentiment.articles import Text
from coinwatch.sentiment.scoring import DayScore, Scale, SentimentSource
from coinwatch.times import day_start_us, to_datetime, utc_day


class Scored(msgspec.Struct, frozen=True):
    """A text with its score."""

    text: Text
    title_key: str | None
    score: float
    bases: tuple[str, ...]


class Stored(NamedTuple):
    """The effect of storing texts."""

    new: int
    changed: int
    """Another title, or another model."""
    copies: int
    """Skipped, because an earlier text has the same title."""


class FeedState(NamedTuple):
    """The state of a feed between requests."""

    url: str
    etag: str | None
    last_modified: str | None
    changed_at: datetime


class Mentioned(NamedTuple):
    """A text, as a table of the newest shows it."""

    published_at: datetime
    outlet: str
    title: str
    url: str
    score: float
    bases: list[str]


async def store_texts(
    conn: psycopg.AsyncConnection,
    source: SentimentSource,
    outlet: str,
    texts: Sequence[Scored],
    model: str,
    now_us: int,
) -> Stored:
    """Store texts of one outlet, each once. A copy of a stored text is recorded with the original.

    Copies have the same title within three days, from the same source.
    """
    ordered = sorted(texts, key=lambda scored: scored.text.url)
    asked = {
        "source": source.value,
        "outlet": outlet,
        "model": model,
        "now": to_datetime(now_us),
        "urls": [scored.text.url for scored in ordered],
        "titles": [scored.text.title for scored in ordered],
        "keys": [scored.title_key for scored in ordered],
        "published": [to_datetime(scored.text.published_us) for scored in ordered],
        "scores": [scored.score for scored in ordered],
        "bases": [Jsonb(list(scored.bases)) for scored in ordered],
    }
    async with conn.transaction():
        copied = await (await conn.execute(_NOTE_COPIES, asked)).fetchall()
        stored = await (await conn.execute(_STORE_TEXTS, asked)).fetchall()
    new = sum(is_new for (is_new,) in stored)
    return Stored(new, len(stored) - new, len({url for (url,) in copied}))


async def texts_since(conn: psycopg.AsyncConnection, since_us: int) -> list[tuple[str, str]]:
    """Address and title of the texts published since."""
    cursor = await conn.execute(
        "SELECT url, title FROM news WHERE published_at >= %s ORDER BY url", (to_datetime(since_us),)
    )
    return await cursor.fetchall()


async def rescore_texts(
    conn: psycopg.AsyncConnection, scored: Sequence[tuple[str, float, Sequence[str]]], model: str
) -> int:
    """Replace scores of stored texts, as (URL, score, bases they name); return how many changed."""
    cursor = await conn.execute(
        _RESCORE,
        {
            "model": model,
            "urls": [url for url, _, _ in scored],
            "scores": [score for _, score, _ in scored],
            "bases": [Jsonb(list(bases)) for _, _, bases in scored],
        },
    )
    return cursor.rowcount


async def newest_texts(conn: psycopg.AsyncConnection, most: int) -> list[Mentioned]:
    """The newest texts."""
    rows = await (await conn.execute(_NEWEST_TEXTS, {"most": most})).fetchall()
    return [Mentioned(*row) for row in rows]


async def feed_states(conn: psycopg.AsyncConnection) -> dict[str, FeedState]:
    """The state of feeds, by outlet."""
    cursor = await conn.execute("SELECT outlet, url, etag, last_modified, changed_at FROM news_feeds")
    return {row[0]: FeedState(*row[1:]) for row in await cursor.fetchall()}


async def store_feed_state(
    conn: psycopg.AsyncConnection,
    outlet: str,
    url: str,
    etag: str | None,
    last_modified: str | None,
    now_us: int,
    *,
    has_news: bool,
) -> None:
    """Store the validators for the next request to this feed, and whether this response had new texts."""
    await conn.execute(
        _STORE_FEED,
        {
            "outlet": outlet,
            "url": url,
            "etag": etag,
            "last_modified": last_modified,
            "now": to_datetime(now_us),
            "has_news": has_news,
        },
    )


async def store_scores(conn: psycopg.AsyncConnection, scores: Collection[DayScore], now_us: int) -> int:
    """Store daily scores, replacing earlier scores of the same day and source; return how many changed."""
    ordered = sorted(scores, key=lambda score: (score.day, score.source, score.base or ""))
    cursor = await conn.execute(
        _STORE_SCORES,
        {
            "now": to_datetime(now_us),
            "days": [score.day for score in ordered],
            "sources": [score.source.value for score in ordered],
            "bases": [score.base for score in ordered],
            "values": [score.value for score in ordered],
            "scales": [score.scale.value for score in ordered],
            "scores": [score.score for score in ordered],
            "items": [score.items for score in ordered],
            "details": [Jsonb(dict(score.detail)) for score in ordered],
        },
    )
    return sum(changed for (changed,) in await cursor.fetchall())


async def replace_scores(
    conn: psycopg.AsyncConnection,
    sources: Collection[SentimentSource],
    first: date,
    last: date,
    scores: Collection[DayScore],
    now_us: int,
) -> int:
    """Store computed scores and delete all other scores of these sources from ``first`` to ``last``."""
    async with conn.transaction():
        await conn.execute(
            _DELETE_OTHERS,
            {
                "computed": [source.value for source in sources],
                "first": first,
                "last": last,
                "days": [score.day for score in scores],
                "sources": [score.source.value for score in scores],
                "bases": [score.base for score in scores],
            },
        )
        return await store_scores(conn, scores, now_us)


async def text_scores(conn: psycopg.AsyncConnection, first: date, last: date) -> list[DayScore]:
    """The means of the texts of each day, source and asset; and of all of a source, for the whole market."""
    rows = await (
        await conn.execute(
            _TEXT_SCORES,
            {
                "first": to_datetime(day_start_us(first)),
                "after": to_datetime(day_start_us(last + timedelta(days=1))),
            },
        )
    ).fetchall()
    return [
        DayScore(
            day=day,
            source=SentimentSource(source),
            base=base,
            value=round(mean, 6),
            scale=Scale.UNIT,
            score=round(mean, 6),
            items=items,
            detail={"positive": positive, "negative": negative},
        )
        for day, source, base, mean, items, positive, negative in rows
    ]


async def scores_between(conn: psycopg.AsyncConnection, first: date, last: date) -> list[DayScore]:
    """All scores of these days, combined ones too."""
    rows = await (await conn.execute(_SCORES, {"first": first, "last": last})).fetchall()
    return [
        DayScore(
            day=row[0],
            source=SentimentSource(row[1]),
            base=row[2],
            value=row[3],
            scale=Scale(row[4]),
            score=row[5],
            items=row[6],
            detail=row[7],
        )
        for row in rows
    ]


async def asked_since(
    conn: psycopg.AsyncConnection, source: SentimentSource, since_us: int, now_us: int
) -> set[str | None]:
    """The bases (None: the market) for which ``source`` stored a value of today since then."""
    cursor = await conn.execute(
        _ASKED, {"source": source.value, "since": to_datetime(since_us), "today": utc_day(now_us)}
    )
    return {base for (base,) in await cursor.fetchall()}


async def newest_day(conn: psycopg.AsyncConnection, source: SentimentSource) -> date | None:
    """The newest day with a value from ``source``."""
    row = await (
        await conn.execute(
            "SELECT max(day) FROM sentiment WHERE source = %s AND value IS NOT NULL", (source.value,)
        )
    ).fetchone()
    return row[0] if row else None


async def named_assets(conn: psycopg.AsyncConnection) -> dict[str, tuple[str, ...]]:
    """The names of the assets behind bases of our markets, largest first."""
    return {base: (name,) for base, name, _ in await _assets(conn)}


async def asset_ids(conn: psycopg.AsyncConnection) -> dict[str, str]:
    """CoinGecko's ids of the assets behind bases of our markets, the largest first."""
    return {base: asset_id for base, _, asset_id in await _assets(conn)}


async def _assets(conn: psycopg.AsyncConnection) -> list[tuple[str, str, str]]:
    return await (await conn.execute(_NAMED)).fetchall()


# Two pages of an outlet with the same title are copies too: the text was moved.
_GIVEN = """
unnest(%(urls)s::text[], %(titles)s::text[], %(keys)s::text[], %(published)s::timestamptz[],
       %(scores)s::float8[], %(bases)s::jsonb[])
     AS given (url, title, title_key, published_at, score, bases)
"""
_IS_COPY = """
n.source = %(source)s AND n.title_key = given.title_key AND n.url <> given.url
AND n.published_at BETWEEN given.published_at - interval '3 days' AND given.published_at + interval '3 days'
"""

_NOTE_COPIES = f"""
WITH copied AS (
    SELECT DISTINCT ON (given.url) given.url, n.url AS original
    FROM {_GIVEN} JOIN news n ON {_IS_COPY}
    WHERE NOT EXISTS (SELECT FROM news known WHERE known.url = given.url)
    ORDER BY given.url, n.seen_at, n.url
), noted AS (
    UPDATE news n SET copies = n.copies || jsonb_build_object(%(outlet)s::text, copied.url)
    FROM copied
    WHERE n.url = copied.original AND NOT n.copies ? %(outlet)s
)
SELECT url FROM copied
"""  # noqa: S608 -- of constants

_STORE_TEXTS = f"""
INSERT INTO news AS n (
    url, source, outlet, title, title_key, published_at, seen_at, score, model, bases
)
SELECT given.url, %(source)s, %(outlet)s, given.title, given.title_key, given.published_at, %(now)s,
       given.score, %(model)s, ARRAY(SELECT jsonb_array_elements_text(given.bases))
FROM {_GIVEN}
WHERE EXISTS (SELECT FROM news known WHERE known.url = given.url)
   OR NOT EXISTS (SELECT FROM news n WHERE {_IS_COPY})
ON CONFLICT (url) DO UPDATE SET
    title = excluded.title, title_key = excluded.title_key, score = excluded.score, model = excluded.model,
    bases = excluded.bases
WHERE (n.title, n.score, n.model, n.bases)
      IS DISTINCT FROM (excluded.title, excluded.score, excluded.model, excluded.bases)
RETURNING xmax = 0
"""  # noqa: S608 -- of constants

_RESCORE = """
UPDATE news n SET score = given.score, model = %(model)s, bases = given.bases
FROM (
    SELECT url, score, ARRAY(SELECT jsonb_array_elements_text(bases)) AS bases
    FROM unnest(%(urls)s::text[], %(scores)s::float8[], %(bases)s::jsonb[]) AS given (url, score, bases)
) AS given
WHERE n.url = given.url AND (n.score, n.model, n.bases) IS DISTINCT FROM (given.score, %(model)s, given.bases)
"""

_NEWEST_TEXTS = """
SELECT published_at, outlet, title, url, score, bases FROM news ORDER BY published_at DESC, url LIMIT %(most)s
"""

_STORE_FEED = """
INSERT INTO news_feeds AS f (outlet, url, etag, last_modified, asked_at, changed_at)
VALUES (%(outlet)s, %(url)s, %(etag)s, %(last_modified)s, %(now)s, %(now)s)
ON CONFLICT (outlet) DO UPDATE SET
    url = excluded.url, etag = excluded.etag, last_modified = excluded.last_modified,
    asked_at = excluded.asked_at,
    changed_at = CASE WHEN %(has_news)s THEN excluded.changed_at ELSE f.changed_at END
"""

_STORE_SCORES = """
WITH before AS (SELECT day, source, base, value, score, items, detail FROM sentiment),
stored AS (
    INSERT INTO sentiment (day, source, base, value, scale, score, items, detail, told_at)
    SELECT *, %(now)s FROM unnest(
        %(days)s::date[], %(sources)s::text[], %(bases)s::text[], %(values)s::float8[], %(scales)s::text[],
        %(scores)s::float8[], %(items)s::int[], %(details)s::jsonb[]
    )
    ON CONFLICT (day, source, base) DO UPDATE SET
        value = excluded.value, scale = excluded.scale, score = excluded.score, items = excluded.items,
        detail = excluded.detail, told_at = excluded.told_at
    RETURNING day, source, base, value, score, items, detail
)
SELECT (b.value, b.score, b.items, b.detail) IS DISTINCT FROM (s.value, s.score, s.items, s.detail)
FROM stored s LEFT JOIN before b
    ON b.day = s.day AND b.source = s.source AND b.base IS NOT DISTINCT FROM s.base
"""

_DELETE_OTHERS = """
DELETE FROM sentiment s
WHERE s.source = ANY (%(computed)s::text[]) AND s.day BETWEEN %(first)s AND %(last)s AND NOT EXISTS (
    SELECT FROM unnest(%(days)s::date[], %(sources)s::text[], %(bases)s::text[]) AS now (day, source, base)
    WHERE now.day = s.day AND now.source = s.source AND now.base IS NOT DISTINCT FROM s.base
)
"""

_TEXT_SCORES = """
SELECT (published_at AT TIME ZONE 'UTC')::date, source, base, avg(score), count(*)::int,
       (count(*) FILTER (WHERE score > 0.05))::int, (count(*) FILTER (WHERE score < -0.05))::int
FROM news CROSS JOIN LATERAL unnest(bases || ARRAY[NULL::text]) AS base
WHERE published_at >= %(first)s AND published_at < %(after)s
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
"""

_SCORES = """
SELECT day, source, base, value, scale, score, items, detail
FROM sentiment WHERE day BETWEEN %(first)s AND %(last)s ORDER BY day, source, base
"""

_ASKED = "SELECT base FROM sentiment WHERE source = %(source)s AND day = %(today)s AND told_at >= %(since)s"

_NAMED = """
SELECT b.base, a.name, a.id
FROM asset_bases b
JOIN assets a ON a.id = b.asset_id
LEFT JOIN LATERAL (
    SELECT m.rank FROM asset_metrics m
    WHERE m.asset_id = a.id AND m.rank IS NOT NULL ORDER BY m.ts DESC LIMIT 1
) AS latest ON true
ORDER BY latest.rank NULLS LAST, b.base
"""
