"""What Dagster's own database tells from outside: whether its daemon lives."""

from __future__ import annotations

from sqlalchemy import URL

from warehouse.connect import connect

DAGSTER_DATABASE = "dagster"
"""On the warehouse's server, apart from ours: both sides keep a table ``alembic_version``."""

_BEATS = """
select exists (
    select from daemon_heartbeats where timestamp > now() at time zone 'utc' - interval '1 minute'
)
"""


async def daemon_beats(url: URL) -> bool:
    """Whether Dagster's daemon beat within the last minute. ``url`` is that of Dagster's database.

    Raises WarehouseError or psycopg.Error (its tables are made by its first start).
    """
    async with await connect(url, application_name="coinwatch up") as conn:
        row = await (await conn.execute(_BEATS)).fetchone()
        return bool(row and row[0])
