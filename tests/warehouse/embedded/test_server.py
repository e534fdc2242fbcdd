"""The embedded server: one server for all, in any folder, after any accident."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from coinwatch.errors import WarehouseError
from tests.conftest import PROJECT
from tests.warehouse.embedded.servers import START, MakeServer, ask, pid_of
from warehouse.db.connect import conninfo
from warehouse.embedded import progress
from warehouse.embedded import server as server_module
from warehouse.embedded.server import EmbeddedPostgres


def kill(server: EmbeddedPostgres) -> None:
    """Kill the postmaster as the kernel would for want of memory: none of its files are cleaned up."""
    psutil.Process(pid_of(server)).kill()


def test_starts_from_nothing_and_is_reached_both_ways(make_server: MakeServer, tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    assert not server.is_running()
    assert not (tmp_path / "postgres").exists()
    assert server.stop() is False
    with pytest.raises(WarehouseError, match="not running"):
        server.url()
    try:
        server.start()
        server.start()
        assert server.is_running()
        for url in (server.url(), server.socket_url()):
            assert ask(url, "SELECT current_database()") == "coinwatch"
        shown = {
            name: ask(server.socket_url(), f"SHOW {name}")
            for name in ("fsync", "synchronous_commit", "TimeZone", "jit", "server_encoding")
        }
        assert shown == {
            "fsync": "on",
            "synchronous_commit": "on",
            "TimeZone": "UTC",
            "jit": "off",
            "server_encoding": "UTF8",
        }
    finally:
        assert server.stop() is True
    assert not server.is_running()


def test_is_private(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    assert server.folder.stat().st_mode & 0o777 == 0o700
    assert (server.folder / "password").stat().st_mode & 0o777 == 0o600
    for url in (server.url(), server.socket_url()):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            ask(url.set(password="wrong"), "SELECT 1")  # noqa: S106
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            ask(url._replace(password=None), "SELECT 1")


def test_keeps_its_port_while_that_is_free(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    first = server.url().port
    server.stop()
    server.start()
    assert server.url().port == first
    server.stop()
    with socket.create_server(("127.0.0.1", first or 0)):
        server.start()
        assert server.url().port != first


def test_finds_another_port_when_its_own_is_taken_in_the_last_moment(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        server = make_server()
        (server.folder / "port").write_text(str(taken))
        # As if the other program had come between the look and the start.
        monkeypatch.setattr(server_module, "is_free", lambda port: True)
        server.start()
        assert server.url().port != taken


def test_starts_in_a_deep_folder(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(tmp_path / ("deep" * 20) / "with space, comma:colon 'quote'" / "postgres")
    server.start()
    assert ask(server.socket_url(), "SELECT 1") == 1
    sockets = Path(str(server.socket_url().query["host"]))
    assert len(str(sockets)) < 60
    assert sockets.stat().st_mode & 0o777 == 0o700
    kill(server)
    server.start()
    assert ask(server.socket_url(), "SELECT 1") == 1
    again = Path(str(server.socket_url().query["host"]))
    assert not sockets.exists()
    server.stop()
    assert not again.exists()


def test_refuses_a_path_that_a_shell_would_read_otherwise(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=r"COINWATCH_DATA_DIR"):
        EmbeddedPostgres(tmp_path / "a$HOME").start()


def test_two_processes_at_once_share_one_server(make_server: MakeServer) -> None:
    server = make_server(new=True)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", START, str(server.folder)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    outputs = {process.communicate(timeout=60)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert outputs == {server.url().render_as_string(hide_password=False) + "\n"}
    log = (server.folder / "log").read_text()
    assert log.count("starting PostgreSQL 18") == 1


def test_outlives_its_starter_in_a_session_of_its_own(make_server: MakeServer) -> None:
    server = make_server()
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    starter = subprocess.Popen(
        [sys.executable, "-c", START + "import time; time.sleep(600)", str(server.folder)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        pass_fds=[writing],
        start_new_session=True,
    )
    assert starter.stdout
    assert starter.stdout.readline()
    os.close(writing)
    os.killpg(starter.pid, signal.SIGINT)  # what Ctrl-C does
    starter.wait(10)
    starter.stdout.close()
    assert server.is_running()
    assert os.getsid(pid_of(server)) == pid_of(server)
    # End of file: the server holds no file that the starter had open.
    os.set_blocking(reading, False)
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_recovers_after_kill(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    with psycopg.connect(conninfo(server.socket_url())) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 100000) AS n")
    port = server.url().port
    kill(server)
    assert not server.is_running()
    server.start()
    assert ask(server.socket_url(), "SELECT count(*) FROM kept") == 100_000
    assert server.url().port == port


def test_recovers_after_kill_though_a_child_stays(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "ORPHANS_GRACE_S", 0.3)
    server = make_server()
    server.start()
    with psycopg.connect(conninfo(server.socket_url())) as connection:
        backend = psutil.Process(connection.info.backend_pid)
        backend.suspend()
        kill(server)
        server.start()
        assert not backend.is_running() or backend.status() == psutil.STATUS_ZOMBIE
        connection.close()
    assert ask(server.socket_url(), "SELECT 1") == 1


def test_a_reused_pid_is_neither_believed_nor_harmed(make_server: MakeServer) -> None:
    """After a reboot the pid in postmaster.pid may be any program, here one of the same user."""
    server = make_server()
    server.start()
    pid = pid_of(server)
    stale = [server.folder / "data" / "postmaster.pid", *server.folder.glob(".s.PGSQL.*.lock")]
    assert len(stale) == 2
    user = server.folder.stat()
    kill(server)
    other = subprocess.Popen(
        ["sleep", "600"],
        user=user.st_uid if os.geteuid() == 0 else None,
        group=user.st_gid if os.geteuid() == 0 else None,
    )
    try:
        for file in stale:
            file.write_text(file.read_text().replace(str(pid), str(other.pid), 1))
        assert not server.is_running()
        assert server.stop() is False
        server.start()
        assert ask(server.socket_url(), "SELECT 1") == 1
        assert pid_of(server) != other.pid
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("left", ["", "garbage", "999999\n"])
def test_a_damaged_pid_file_does_not_matter(make_server: MakeServer, left: str) -> None:
    server = make_server()
    server.start()
    kill(server)
    (server.folder / "data" / "postmaster.pid").write_text(left)
    server.start()
    assert ask(server.socket_url(), "SELECT 1") == 1


def test_an_interrupted_first_start_is_repeated(make_server: MakeServer) -> None:
    server = make_server(new=True)
    half = server.folder / "data.new" / "base"
    half.mkdir(parents=True)
    (server.folder / "password").write_text("old\n")
    if os.geteuid() == 0:  # whose server runs as another user
        os.chown(server.folder, 65_534, 65_534)
    server.start()
    assert ask(server.url(), "SELECT 1") == 1
    assert not half.exists()


def test_a_failed_start_shows_the_end_of_the_log(make_server: MakeServer) -> None:
    server = make_server(shared_buffers="lots")
    with pytest.raises(WarehouseError, match='invalid value for parameter "shared_buffers": "lots"'):
        server.start()


def test_a_folder_of_another_version_is_named(make_server: MakeServer) -> None:
    server = make_server()
    (server.folder / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(WarehouseError, match="made by PostgreSQL 17 and this is 18"):
        server.start()


def test_waits_for_recovery_as_long_as_it_works(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery is made to take seconds by an archive that answers late."""
    server = make_server(restore_command="sleep 1; false")
    (server.folder / "data" / "recovery.signal").touch()
    os.chown(server.folder / "data" / "recovery.signal", server.folder.stat().st_uid, -1)
    monkeypatch.setattr(server_module, "_PG_CTL_S", 1)
    monkeypatch.setattr(progress, "SILENCE_S", 0.3)
    with pytest.raises(WarehouseError, match="has made no progress for"):
        server.start()
    monkeypatch.setattr(progress, "SILENCE_S", 30)
    began = time.monotonic()
    server.start()
    assert time.monotonic() - began > 0.3
    assert ask(server.socket_url(), "SELECT 1") == 1
