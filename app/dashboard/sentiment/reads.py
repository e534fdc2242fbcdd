"""What only the Sentiment page reads from the warehouse: polls of sources and of news feeds."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from app.dashboard.data.reader import Reading
from app.dashboard.data.source import DashboardReads
from coinwatch.times import DAY_US, now_us, to_datetime, utc_day
from warehouse.sentiment import reads

RECENT_US = 30 * DAY_US


class Polls(NamedTuple):
    """Recent polls of sources and of news feeds."""

    sources: tuple[reads.SourceAsked, ...]
    feeds: tuple[reads.OutletRead, ...]


def polls(source: DashboardReads) -> Reading[Polls]:
    """The last poll of each source and news feed, and their newest data."""

    def ask(conn: Connection) -> Polls:
        at_us = now_us()
        return Polls(
            reads.sources_asked(conn, utc_day(at_us - RECENT_US)),
            reads.outlets_read(conn, to_datetime(at_us - DAY_US)),
        )

    return source.read(("sentiment polls",), ask, 30)


def day_scores(source: DashboardReads, base: str | None, days: int) -> Reading[tuple[reads.DayOfSource, ...]]:
    """The score of each source for ``base``, or for the whole market, on each of the last ``days``."""
    return source.read(
        ("scores", base, days),
        lambda conn: reads.day_scores(conn, base, utc_day(now_us() - days * DAY_US)),
        60,
    )


def news(source: DashboardReads, base: str | None) -> Reading[tuple[reads.Article, ...]]:
    """The newest texts; only those about ``base`` when it is given."""
    return source.read(("news", base), lambda conn: reads.news(conn, base, to_datetime(now_us())), 30)
