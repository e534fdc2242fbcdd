"""What the Fundamentals page reads. Each takes a SQLAlchemy connection and plain values."""

from __future__ import annotations

from datetime import date, datetime

import msgspec
from sqlalchemy import Connection, text

from coinwatch.times import DAY_US, SECOND_US, from_datetime, to_datetime
from coinwatch.windows import Window

METRICS_US = 7 * DAY_US
"""Older metrics are not shown as the latest."""

MOST_ASSETS = 2_000


class AssetRow(msgspec.Struct, frozen=True, kw_only=True):
    """An asset of our markets, or with metrics from any source."""

    id: str
    symbol: str
    name: str
    categories: list[str]
    bases: list[str]
    """Of our markets."""
    gone_at: datetime | None


class AssetDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The description of an asset."""

    id: str
    symbol: str
    name: str
    categories: list[str]
    description: str | None
    links: dict[str, list[str]]
    platforms: dict[str, str]
    images: dict[str, str]
    """URL by host service."""
    launched_on: date | None
    described_at: datetime | None
    gone_at: datetime | None


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of an asset in one hour from one source; None: not given. Shares: 0.01 is 1 %."""

    asset_id: str
    source: str
    ts: datetime
    observed_at: datetime | None = None
    price_usd: float | None = None
    market_cap_usd: float | None = None
    fdv_usd: float | None = None
    volume_24h_usd: float | None = None
    circulating_supply: float | None = None
    total_supply: float | None = None
    max_supply: float | None = None
    ath_usd: float | None = None
    ath_at: datetime | None = None
    atl_usd: float | None = None
    atl_at: datetime | None = None
    change_1h: float | None = None
    change_24h: float | None = None
    change_7d: float | None = None
    change_30d: float | None = None
    tvl_usd: float | None = None
    rank: int | None = None


class MetricPoint(msgspec.Struct, frozen=True):
    """A point of an asset's history from one source."""

    source: str
    ts_us: int
    price_usd: float | None
    market_cap_usd: float | None
    volume_24h_usd: float | None
    tvl_usd: float | None
    rank: int | None


_COLUMNS = ", ".join(Metrics.__struct_fields__)

_ASSETS = text("""
with shown as (
    select asset_id from asset_metrics where ts > :since
    union
    select asset_id from asset_bases where asset_id is not null
)
select a.id, a.symbol, a.name, a.categories, a.gone_at,
    array(select base from asset_bases b where b.asset_id = a.id order by base) as bases
from assets a where a.id in (select asset_id from shown)
order by a.name limit :most""")

_LATEST = text(f"""
select distinct on (asset_id, source) {_COLUMNS}
from asset_metrics where ts > :since and ts <= :until
order by asset_id, source, ts desc limit :most""")  # noqa: S608 -- built from constants

_DETAIL = text("""
select id, symbol, name, categories, description, links, platforms, images, launched_on, described_at, gone_at
from assets where id = :id""")

_HISTORY = text("""
select distinct on (source, date_bin(make_interval(secs => :step_s), ts, 'epoch'))
    source, ts, price_usd, market_cap_usd, volume_24h_usd, tvl_usd, rank
from asset_metrics where asset_id = :id and ts >= :since and ts < :until
order by source, date_bin(make_interval(secs => :step_s), ts, 'epoch'), ts desc""")


def assets(conn: Connection, now_us: int) -> tuple[AssetRow, ...]:
    """Every asset of our markets, and every asset with recent metrics."""
    rows = conn.execute(_ASSETS, {"since": to_datetime(now_us - METRICS_US), "most": MOST_ASSETS})
    return tuple(AssetRow(**row._mapping) for row in rows)


def latest_metrics(conn: Connection, now_us: int) -> tuple[Metrics, ...]:
    """The latest metrics of each asset and source within a week."""
    window = {"since": to_datetime(now_us - METRICS_US), "until": to_datetime(now_us)}
    rows = conn.execute(_LATEST, window | {"most": 3 * MOST_ASSETS})
    return tuple(Metrics(**row._mapping) for row in rows)


def asset_detail(conn: Connection, asset_id: str) -> tuple[AssetDetail, ...]:
    """The asset in a tuple of one; empty when there is no such asset."""
    return tuple(AssetDetail(**row._mapping) for row in conn.execute(_DETAIL, {"id": asset_id}))


def metric_history(conn: Connection, asset_id: str, window: Window, step_us: int) -> tuple[MetricPoint, ...]:
    """The last metrics of each source in each step of ``window``, by source, oldest first."""
    rows = conn.execute(
        _HISTORY,
        {
            "id": asset_id,
            "since": to_datetime(window.start_us),
            "until": to_datetime(window.end_us),
            "step_s": step_us / SECOND_US,
        },
    )
    return tuple(
        MetricPoint(
            row.source,
            from_datetime(row.ts),
            row.price_usd,
            row.market_cap_usd,
            row.volume_24h_usd,
            row.tvl_usd,
            row.rank,
        )
        for row in rows
    )
