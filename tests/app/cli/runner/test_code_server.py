"""The code server's socket: only this user can reach it, wherever the data folder is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from app.cli.runner.code_server import LONGEST_SOCKET_PATH, is_usable, make_private, socket_path
from coinwatch.errors import SettingsError


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="cw") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(autouse=True)
def _temporary_files(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short / "tmp"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


def run(*command: str) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_socket_is_in_a_private_folder_of_the_data_folder(short: Path) -> None:
    path = socket_path(short / "data")
    assert path == short / "data" / "rpc" / "code.sock"
    assert mode(path.parent) == 0o700
    assert socket_path(short / "data") == path


def test_open_folder_is_closed(short: Path) -> None:
    folder = short / "data" / "rpc"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert mode(socket_path(short / "data").parent) == 0o700


@pytest.mark.parametrize("name", ["x" * 120, "per%cent", "ha#sh", "que?stion"])
def test_path_that_fits_no_socket_is_replaced(short: Path, name: str) -> None:
    path = socket_path(short / name)
    assert path.parent.parent == short / "tmp"
    assert mode(path.parent) == 0o700
    assert is_usable(path)
    assert socket_path(short / name) == path
    assert socket_path(short / f"{name}y") != path


def test_runtime_folder_of_the_user_is_preferred(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    assert socket_path(short / "per%cent").parent.parent == short
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short / "missing"))
    assert socket_path(short / "per%cent").parent.parent == short / "tmp"


def test_no_usable_path_is_an_error(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short / ("y" * 100)))
    with pytest.raises(SettingsError, match="Set COINWATCH_DATA_DIR"):
        socket_path(short / ("x" * 120))


def test_link_in_place_of_the_folder_is_refused(short: Path) -> None:
    (short / "data").mkdir()
    (short / "elsewhere").mkdir()
    (short / "data" / "rpc").symlink_to(short / "elsewhere")
    with pytest.raises(SettingsError, match="cannot be used for the socket"):
        socket_path(short / "data")
    assert mode(short / "elsewhere") != 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders to other users")
def test_folder_of_another_user_is_refused(short: Path) -> None:
    folder = short / "rpc"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    with pytest.raises(SettingsError, match="belongs to another user"):
        make_private(folder)


@pytest.mark.parametrize("name", ["data", "with space", "ümlaut", "x" * 64])
def test_code_server_serves_there_and_no_other_user_connects(short: Path, name: str) -> None:
    path = socket_path(short / name)
    server = grpc.server(ThreadPoolExecutor(1))
    assert server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        path.chmod(0o777)  # only the folder keeps others out
        connect = f"import os, socket; {{}}; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
        run(sys.executable, "-c", connect.format("pass"))
        if os.geteuid() == 0:
            with pytest.raises(subprocess.CalledProcessError) as failed:
                run(sys.executable, "-c", connect.format("os.setuid(65534)"))
            assert "PermissionError" in failed.value.stderr
    finally:
        server.stop(0).wait()


def test_longest_path_is_usable() -> None:
    assert is_usable(Path("/" + "x" * (LONGEST_SOCKET_PATH - 1)))
    assert not is_usable(Path("/" + "x" * LONGEST_SOCKET_PATH))
    assert not is_usable(Path("/" + "ü" * (LONGEST_SOCKET_PATH // 2 + 1)))
