"""Reads of stream gaps for ``status`` and the Data page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa

from coinwatch.records import Market
from coinwatch.stream_gaps import GapState
from warehouse.tables import markets, stream_gaps

_SHOWN: Sequence[str] = (
    *("cause", "state", "after_ts", "before_ts"),
    *("recovered", "reason", "opened_at", "closed_at"),
)


class GapRow(msgspec.Struct, frozen=True, kw_only=True):
    """A stream gap."""

    market: Market
    cause: str
    state: GapState
    after_ts: datetime
    before_ts: datetime | None
    recovered: int
    reason: str | None
    opened_at: datetime
    closed_at: datetime | None
    age_s: float


def read_gaps(conn: sa.Connection, within: datetime, *, limit: int = 1_000) -> list[GapRow]:
    """Gaps that are open or were opened since ``within``, newest first."""
    age_s = sa.cast(sa.extract("epoch", sa.func.now() - stream_gaps.c.opened_at), sa.Double)
    query = (
        sa.select(
            markets.c.exchange,
            markets.c.symbol,
            age_s.label("age_s"),
            *(c for c in stream_gaps.c if c.name in _SHOWN),
        )
        .join_from(stream_gaps, markets)
        .where((stream_gaps.c.state == GapState.OPEN) | (stream_gaps.c.opened_at >= within))
        .order_by(stream_gaps.c.opened_at.desc(), stream_gaps.c.id.desc())
        .limit(limit)
    )
    return [
        GapRow(
            market=Market.canonical(f"{row.exchange}:{row.symbol}"),
            age_s=row.age_s,
            **{name: row._mapping[name] for name in _SHOWN} | {"state": GapState(row.state)},
        )
        for row in conn.execute(query)
    ]
