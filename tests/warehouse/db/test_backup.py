"""A backup comes back whole or not at all, and nothing on the way shows the password."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.errors import WarehouseError
from tests.servers import FAST_AND_FORGETFUL
from tests.waiting import eventually_sync
from warehouse.db import backup as module
from warehouse.db.backup import backup, restore
from warehouse.db.connect import connect, conninfo
from warehouse.db.migrate import upgrade
from warehouse.db.partitions import ensure_candle_months, ensure_tick_days
from warehouse.embedded.account import account_for
from warehouse.embedded.programs import program

DAY = date(2026, 7, 1)


def fill(url: URL, trades: int) -> None:
    asyncio.run(_fill(url, trades))


async def _fill(url: URL, trades: int) -> None:
    async with await connect(url, application_name="test") as conn:
        await ensure_tick_days(conn, [DAY])
        await ensure_candle_months(conn, [DAY])
        await conn.execute(
            "INSERT INTO markets (exchange, symbol, base, quote, native) "
            "VALUES ('binance', 'BTC-USDT', 'BTC', 'USDT', 'BTCUSDT') ON CONFLICT DO NOTHING"
        )
        await conn.execute(
            "INSERT INTO ticks (trade_id, ts, price, amount, market_id, day, taker_buys) "
            "SELECT n, '2026-07-01T12:00Z', n + 0.1, n / 3.0, (SELECT min(id) FROM markets), %s, n %% 2 = 0 "
            "FROM generate_series(1, %s) n",
            [DAY, trades],
        )


def ask(url: URL, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(conninfo(url)) as connection:
        return connection.execute(query).fetchall()


def contents(url: URL) -> list[tuple[Any, ...]]:
    return ask(url, "SELECT * FROM v_ticks ORDER BY trade_id::bigint")


def test_comes_back_the_same(database: URL, empty_database: URL, tmp_path: Path) -> None:
    fill(database, 1_000)
    file = tmp_path / "with space.dump"
    assert backup(database, file) == file.stat().st_size > 1_000
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]
    upgrade(empty_database)
    restore(empty_database, file, replace=False)
    assert contents(empty_database) == contents(database)
    assert upgrade(empty_database) == []
    fill(empty_database, 0)  # partitions are known again
    assert len(ask(empty_database, "SELECT FROM pg_inherits WHERE inhparent = 'ticks'::regclass")) == 1
    with psycopg.connect(conninfo(empty_database)) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    restore(empty_database, file, replace=False)
    assert contents(empty_database) == contents(database)


def test_rows_are_only_replaced_on_purpose(database: URL, tmp_path: Path) -> None:
    file = tmp_path / "few.dump"
    fill(database, 2)
    backup(database, file)
    with psycopg.connect(conninfo(database)) as connection:
        connection.execute("TRUNCATE ticks")
    fill(database, 5)
    with pytest.raises(WarehouseError, match=r"already holds ticks: give --replace"):
        restore(database, file, replace=False)
    assert len(contents(database)) == 5
    restore(database, file, replace=True)
    assert len(contents(database)) == 2


def test_a_failed_restore_changes_nothing(
    database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, 20_000)
    whole = tmp_path / "whole.dump"
    size = backup(database, whole)
    cut = tmp_path / "cut.dump"
    cut.write_bytes(whole.read_bytes()[: size * 2 // 3])
    with pytest.raises(WarehouseError, match=r"failed and nothing was changed|cannot be restored"):
        restore(database, cut, replace=True)
    assert len(contents(database)) == 20_000

    monkeypatch.setattr(module, "_WAIT_FOR_OTHERS", "200ms")
    with psycopg.connect(conninfo(database)) as reader:
        reader.execute("SELECT FROM ticks LIMIT 1")
        with pytest.raises(WarehouseError, match=r"stop Coinwatch first"):
            restore(database, whole, replace=True)

    with psycopg.connect(conninfo(database)) as connection:
        connection.execute("CREATE VIEW mine AS SELECT * FROM v_ticks")
    with pytest.raises(WarehouseError, match=r"view mine depends on view v_ticks"):
        restore(database, whole, replace=True)
    assert len(contents(database)) == 20_000


def test_files_that_are_none_of_ours_are_refused(database: URL, empty_database: URL, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("hello")
    with pytest.raises(WarehouseError, match=r"cannot be restored: .*valid archive"):
        restore(database, text, replace=False)
    with pytest.raises(WarehouseError, match=r"absent cannot be restored: .*No such file"):
        restore(database, tmp_path / "absent", replace=False)
    foreign = tmp_path / "foreign"
    backup(empty_database, foreign)
    with pytest.raises(WarehouseError, match=r"not a backup of Coinwatch"):
        restore(database, foreign, replace=False)
    with psycopg.connect(conninfo(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    newer = tmp_path / "newer"
    backup(database, newer)
    with pytest.raises(WarehouseError, match=r"of a newer Coinwatch"):
        restore(database, newer, replace=True)


def test_a_backup_that_fails_leaves_no_file(database: URL, tmp_path: Path) -> None:
    file = tmp_path / "x.dump"
    file.write_text("the one before")
    with pytest.raises(WarehouseError, match=r'database "nowhere" does not exist'):
        backup(database.set(database="nowhere"), file)
    assert file.read_text() == "the one before"
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(WarehouseError, match=r"No such file or directory"):
        backup(database, tmp_path / "absent" / "x.dump")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a link to another user")
def test_root_writes_no_backup_through_a_link_of_another_user(database: URL, tmp_path: Path) -> None:
    victim, theirs = tmp_path / "victim", tmp_path / "theirs"
    victim.write_text("precious")
    theirs.mkdir()
    (theirs / "x.dump").symlink_to(victim)
    for path in (theirs, theirs / "x.dump"):
        os.chown(path, 1, 1, follow_symlinks=False)
    with pytest.raises(WarehouseError, match="link that another user may have placed"):
        backup(database, theirs / "x.dump")
    assert victim.read_text() == "precious"


def test_the_password_is_in_no_command_line(database: URL, tmp_path: Path) -> None:
    with psycopg.connect(conninfo(database)) as holder:
        holder.execute("LOCK TABLE markets")  # pg_dump has to wait for it
        dumping = threading.Thread(target=backup, args=(database, tmp_path / "x.dump"))
        dumping.start()
        dump = eventually_sync(lambda: [p for p in psutil.Process().children() if p.name() == "pg_dump"])
        assert any("host=" in word for word in dump[0].cmdline())
        assert not any(str(database.password) in word for word in dump[0].cmdline())
        holder.rollback()
        dumping.join()
    assert (tmp_path / "x.dump").exists()


@pytest.fixture
def older_server(tmp_path: Path) -> Iterator[URL]:
    """PostgreSQL 16, also in the wheel, in place of an external server."""
    bin_folder = program("postgres").parents[2] / "pginstall" / "bin"
    if not (bin_folder / "postgres").exists():
        pytest.skip("the wheel brings no older server")
    data = tmp_path / "older"
    data.mkdir(mode=0o700)
    account = account_for(data, bin_folder)
    if account.owner:
        os.chown(data, *account.owner)
    options = " ".join(f"-c {name}={value}" for name, value in FAST_AND_FORGETFUL.items())

    def run(name: str, *arguments: str) -> None:
        subprocess.run(
            [*account.prefix, str(account.programs / name), "-D", account.name_for(data, data), *arguments],
            cwd=data,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    run("initdb", "--username=me", "--auth=trust", "--encoding=UTF8", "--locale=C")
    run("pg_ctl", "start", "-w", "-l", "log", "-o", f"-k . -h '' {options}")
    try:
        yield URL.create("postgresql+psycopg", "me", database="postgres", query={"host": str(data)})
    finally:
        run("pg_ctl", "stop", "-m", "immediate")


def test_an_older_server_of_ones_own_does_as_well(older_server: URL, database: URL, tmp_path: Path) -> None:
    upgrade(older_server)
    fill(older_server, 10)
    backup(older_server, tmp_path / "older.dump")
    restore(older_server, tmp_path / "older.dump", replace=True)
    assert len(contents(older_server)) == 10
    fill(database, 20)
    backup(database, tmp_path / "newer.dump")
    restore(older_server, tmp_path / "newer.dump", replace=True)
    assert contents(older_server) == contents(database)
