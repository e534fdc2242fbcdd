"""The endpoint reports at once that Postgres stores nothing, and logs it once."""

from __future__ import annotations

import psycopg
from psycopg import sql
from sqlalchemy import URL
from structlog.testing import capture_logs

from tests.app.alerts.conftest import Endpoint
from tests.waiting import eventually
from warehouse.db.connect import conninfo

SESSIONS = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where datname = %s and application_name like 'coinwatch alerts%%'"
)


def set_read_only(database: URL, state: str) -> None:
    """As a provider does when the disk is full: for new sessions, so the endpoint's are ended."""
    with psycopg.connect(conninfo(database.set(database="postgres")), autocommit=True) as conn:
        conn.execute(
            sql.SQL("alter database {} set default_transaction_read_only = {}").format(
                sql.Identifier(database.database or ""), sql.SQL(state)
            )
        )
        conn.execute(SESSIONS, [database.database])


async def reasons(endpoint: Endpoint) -> set[str]:
    answer = await endpoint.get("/healthz")
    body = answer.json()
    assert (answer.status_code, body["status"]) in ((200, "ok"), (503, "unavailable"))
    return {reason["code"] for reason in body.get("reasons", [])}


async def test_a_read_only_database_is_503_until_it_stores_again(endpoint: Endpoint, database: URL) -> None:
    with capture_logs() as logs:
        async with endpoint.client("?client=bot") as client:
            await client.nothing_more()
            set_read_only(database, "on")

            async def is_read_only() -> bool:
                return "database_read_only" in await reasons(endpoint)

            await eventually(is_read_only, 15)
            assert (
                'coinwatch_alerts_problem{code="database_read_only"} 1.0'
                in (await endpoint.get("/metrics")).text
            )
            refused = await client.ask(cmd="watch", symbol="btcusdt", price=100, id=1)
            assert (refused["code"], refused["id"]) == ("try_again", 1)
            assert "read-only" in refused["message"]
            set_read_only(database, "off")
            await eventually(endpoint.healthy, 30)
            assert (await client.ask(cmd="watch", symbol="btcusdt", price=100))["type"] == "ack"

            def is_logged() -> bool:
                return any(entry["event"] == "Postgres stores again" for entry in logs)

            await eventually(is_logged, 30)
    events = [entry["event"] for entry in logs if entry["log_level"] != "info"]
    assert sum(event.startswith("Postgres is read-only: commands are refused") for event in events) == 1
    assert len(events) <= 4, events
