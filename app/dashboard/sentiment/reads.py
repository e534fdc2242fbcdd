"""What only the Sentiment page asks of the warehouse: which sources were asked, and which feeds read."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from app.dashboard.data.reader import Reading
from app.dashboard.data.source import DashboardReads
from coinwatch.times import DAY_US, now_us, to_datetime, utc_day
from warehouse.sentiment import reads

LATELY_US = 30 * DAY_US


class Asked(NamedTuple):
    """Sources and news feeds, as they were asked lately."""

    sources: tuple[reads.SourceAsked, ...]
    outlets: tuple[reads.OutletRead, ...]


def asked(source: DashboardReads) -> Reading[Asked]:
    """When each source was asked last, and what it told."""

    def ask(conn: Connection) -> Asked:
        at_us = now_us()
        return Asked(
            reads.sources_asked(conn, utc_day(at_us - LATELY_US)),
            reads.outlets_read(conn, to_datetime(at_us - DAY_US)),
        )

    return source.read(("sources asked",), ask, 30)
