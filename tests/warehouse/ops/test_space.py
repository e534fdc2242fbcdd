"""A check of Postgres that finds out whether it can store, without storing."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL

from coinwatch.errors import WarehouseFull, WarehouseReadOnly
from tests.chaos.small_disk import small_disk
from tests.servers import Server
from warehouse.db.connect import connect, conninfo
from warehouse.db.database import Database
from warehouse.embedded.server import EmbeddedPostgres
from warehouse.ops.health import check_space

DISK_MB = 200


async def test_a_server_with_space_passes(conn: psycopg.AsyncConnection) -> None:
    await check_space(conn)
    assert await (await conn.execute("show work_mem")).fetchone() != ("64kB",)


async def test_a_limit_on_temporary_files_is_no_full_disk(postgres: Server) -> None:
    async with await connect(postgres.administrator_url("postgres"), application_name="test") as conn:
        await conn.execute("set temp_file_limit = '16kB'")
        await check_space(conn)


async def test_a_read_only_database_is_detected(database: URL) -> None:
    name = sql.Identifier(database.database or "")
    with psycopg.connect(conninfo(database), autocommit=True) as administrator:
        administrator.execute(
            sql.SQL("alter database {} set default_transaction_read_only = on").format(name)
        )
    async with await connect(database, application_name="test") as conn:
        with pytest.raises(WarehouseReadOnly):
            await check_space(conn)
    store = Database(database, "test")
    with pytest.raises(WarehouseReadOnly, match="accepts no writes"):
        async with store.use() as conn:
            await conn.execute("insert into service_heartbeats default values")
    await store.close()


async def test_a_full_disk_is_detected(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", DISK_MB) as disk:
        server = EmbeddedPostgres(disk.path / "postgres", {"max_wal_size": "64MB", "min_wal_size": "32MB"})
        server.start()
        try:
            store = Database(server.url(), "test")
            async with store.use() as conn:
                await check_space(conn)
                await conn.execute(
                    "create table things as select repeat('x', 1000) from generate_series(1, 50)"
                )
            disk.fill()
            with pytest.raises(WarehouseFull, match="No space left on device"):
                async with store.use() as conn:
                    await check_space(conn)
            with pytest.raises(WarehouseFull, match="could not extend file"):
                async with store.use() as conn:
                    await conn.execute("insert into things select * from things")
            disk.free()
            async with store.use() as conn:
                await check_space(conn)
            await store.close()
        finally:
            disk.free()
            server.stop()
