"""Files in folders of other users: root follows no link that they placed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coinwatch.errors import SettingsError
from coinwatch.files import (
    make_folder,
    make_own_folder,
    open_file,
    read_text,
    replacing,
    write_text,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to another user")
OTHER = 1


def give(path: Path) -> Path:
    """Give ``path``, or a link itself, to another user."""
    os.chown(path, OTHER, OTHER, follow_symlinks=False)
    return path


def truncate(path: Path) -> None:
    os.close(open_file(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))


def write(path: Path) -> None:
    write_text(path, "new")


def write_owned(path: Path) -> None:
    write_text(path, "new", owner=(OTHER, OTHER))


WRITERS = [truncate, write, write_owned]


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder of another user."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    return give(folder)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file of root, unchanged by each test."""
    file = tmp_path / "ours" / "victim"
    file.parent.mkdir()
    file.write_text("precious")
    yield file
    assert (file.read_text(), file.stat().st_uid) == ("precious", 0)
    assert list(file.parent.iterdir()) == [file]


@needs_root
@pytest.mark.parametrize("writer", WRITERS)
def test_a_link_of_another_user_is_not_followed(
    theirs: Path, victim: Path, writer: Callable[[Path], None]
) -> None:
    give_link(theirs / "file", victim)
    with pytest.raises(PermissionError, match="link that another user may have placed") as caught:
        writer(theirs / "file")
    assert caught.value.filename == str(theirs / "file")


@needs_root
@pytest.mark.parametrize("writer", WRITERS)
def test_a_link_of_another_user_on_the_way_is_not_followed(
    theirs: Path, victim: Path, writer: Callable[[Path], None]
) -> None:
    give_link(theirs / "folder", victim.parent)
    with pytest.raises(PermissionError, match="link that another user may have placed"):
        writer(theirs / "folder" / "victim")
    with pytest.raises(PermissionError):
        make_folder(theirs / "folder" / "new" / "newer")


@needs_root
def test_a_link_of_root_in_a_folder_of_another_user_is_not_followed(theirs: Path, victim: Path) -> None:
    (theirs / "file").symlink_to(victim)
    with pytest.raises(PermissionError):
        truncate(theirs / "file")


@needs_root
def test_a_second_name_of_our_file_is_not_opened(theirs: Path, victim: Path) -> None:
    (theirs / "file").hardlink_to(victim)
    with pytest.raises(PermissionError, match="second name"):
        truncate(theirs / "file")
    write(theirs / "file")  # replaces the name
    assert read_text(theirs / "file") == "new"


@needs_root
def test_a_file_of_another_user_in_an_open_folder_is_not_opened(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "lock").touch()
    give(shared / "lock")
    with pytest.raises(PermissionError):
        truncate(shared / "lock")


@needs_root
def test_files_of_another_user_in_their_own_folder_are_written(theirs: Path) -> None:
    (theirs / "lock").write_text("old")
    give(theirs / "lock")
    truncate(theirs / "lock")
    assert (theirs / "lock").read_text() == ""
    write_owned(theirs / "port")
    assert (theirs / "port").stat().st_uid == OTHER
    assert make_folder(theirs / "data", 0o700, (OTHER, OTHER))
    assert ((theirs / "data").stat().st_uid, (theirs / "data").stat().st_mode & 0o777) == (OTHER, 0o700)


@needs_root
def test_root_leaves_the_folder_of_another_user_to_them(theirs: Path) -> None:
    give(theirs)
    with pytest.raises(SettingsError, match="theirs is another user's, and root does not write there"):
        make_own_folder(theirs)
    make_own_folder(theirs / "dagster")


@needs_root
@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_plain_file_is_refused(theirs: Path, kind: str) -> None:
    path = theirs / "lock"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError, match=r"No such device|Is a directory"):
        truncate(path)
    with pytest.raises(OSError, match="not a plain file"):
        read_text(path)


def test_our_own_links_are_followed(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "data").symlink_to("disk")
    (tmp_path / "alias").symlink_to(disk / "file")
    write_text(tmp_path / "data" / "file", "one")
    write_text(tmp_path / "alias", "two")
    assert (disk / "file").read_text() == read_text(tmp_path / "data" / ".." / "alias") == "two"
    assert (tmp_path / "alias").is_symlink()
    assert not make_folder(tmp_path / "data")


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        read_text(tmp_path / "a")


def test_a_failed_write_keeps_the_previous_contents(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_text(file, "old", 0o600)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match="Bad file"), replacing(file) as part:
        os.write(part, b"new") and os.write(-1, b"")
    assert (file.read_text(), list(tmp_path.iterdir())) == ("old", [file])


def test_errors_name_the_path(tmp_path: Path) -> None:
    for path in (tmp_path / "absent" / "file", tmp_path / "absent"):
        with pytest.raises(FileNotFoundError) as caught:
            read_text(path)
        assert caught.value.filename == str(path)
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")


def give_link(path: Path, target: Path) -> None:
    path.symlink_to(target)
    give(path)
