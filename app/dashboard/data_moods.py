"""What only the Sentiment page asks of the warehouse: which sources were asked, and which feeds read."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from app.dashboard.data import Source
from app.dashboard.reader import Reading
from coinwatch.times import DAY_US, now_us, to_datetime, utc_day
from warehouse import reads_sentiment

LATELY_US = 30 * DAY_US


class Asked(NamedTuple):
    """Sources and news feeds, as they were asked lately."""

    sources: tuple[reads_sentiment.SourceAsked, ...]
    outlets: tuple[reads_sentiment.OutletRead, ...]


def asked(source: Source) -> Reading[Asked]:
    """When each source was asked last, and what it told."""

    def ask(conn: Connection) -> Asked:
        at_us = now_us()
        return Asked(
            reads_sentiment.sources_asked(conn, utc_day(at_us - LATELY_US)),
            reads_sentiment.outlets_read(conn, to_datetime(at_us - DAY_US)),
        )

    return source.read(("sources asked",), ask, 30)
