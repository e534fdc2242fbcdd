"""Files that we write in folders which may belong to another user.

A program of ours that runs as root also writes below folders of other users: their data folder, their
checkout. Such a user could place a link there, to have root write, or give away, a file elsewhere. So a link
is followed only where this user or root placed it, in a folder of this user or root; a file in another user's
folder must be a plain file with no second name. Each step of a path is opened in turn, so none can be
exchanged in between.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coinwatch.errors import SettingsError

_SEARCH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40
"""As in Linux: a path with more links is a circle."""

Owner = tuple[int, int]
"""User id and group id."""


def open_file(path: Path, flags: int, mode: int = 0o600, owner: Owner | None = None) -> int:
    """Open the plain file ``path``; return its descriptor, which is not inherited by other programs.

    Args:
        path: Where the file is.
        flags: As for ``os.open``.
        mode: Permissions of a file that is created.
        owner: Who shall own the file; only root may give it to others.

    Raises:
        PermissionError: The file, or a step of its path, is a link that another user may have placed.
        OSError: The file cannot be opened.
    """
    with _located(path) as (folder, name):
        # O_NONBLOCK: a pipe in place of the file must not stop us.
        wanted = flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(name, wanted, mode, dir_fd=folder)
        try:
            _check_plain(folder, file)
            os.set_blocking(file, True)
            if flags & os.O_TRUNC:
                os.ftruncate(file, 0)
            if owner is not None:
                os.fchown(file, *owner)
        except BaseException:
            os.close(file)
            raise
        return file


def read_text(path: Path) -> str:
    """The contents of the plain file ``path``. Raises like ``open_file``."""
    with os.fdopen(open_file(path, os.O_RDONLY), encoding="utf-8") as file:
        return file.read()


@contextmanager
def replacing(path: Path, mode: int = 0o600, owner: Owner | None = None) -> Iterator[int]:
    """A descriptor to write the new contents of ``path`` to; they replace the file when the block ends well.

    Arguments and errors are those of ``open_file``.
    """
    with _located(path) as (folder, name):
        part = f".{name}.{secrets.token_hex(8)}"
        file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            try:
                yield file
                os.fchmod(file, mode)
                if owner is not None:
                    os.fchown(file, *owner)
            finally:
                os.close(file)
            os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(part, dir_fd=folder)
            raise


def write_text(path: Path, text: str, mode: int = 0o644, owner: Owner | None = None) -> None:
    """Replace the contents of ``path``. Arguments and errors are those of ``open_file``."""
    with replacing(path, mode, owner) as file, open(file, "w", encoding="utf-8", closefd=False) as opened:
        opened.write(text)


def make_folder(path: Path, mode: int = 0o755, owner: Owner | None = None) -> bool:
    """Make the folder ``path``, with those above it, unless it exists; return whether it was made.

    Args:
        path: The folder.
        mode: Its permissions if it is made; those above it are made with 0755.
        owner: Who shall own it if it is made.

    Raises:
        PermissionError: A step of the path is a link that another user may have placed.
        OSError: The folder cannot be made.
    """
    if not path.parent.exists():
        make_folder(path.parent)
    with _located(path) as (folder, name):
        try:
            os.mkdir(name, mode, dir_fd=folder)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise
            return False
        if owner is not None:
            made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            try:
                os.fchown(made, *owner)
            finally:
                os.close(made)
        return True


def make_own_folder(path: Path) -> None:
    """``make_folder`` for a folder of the data folder in which libraries write, which follow links.

    Raises SettingsError when it cannot be made, or when we are root and it is another user's.
    """
    try:
        make_folder(path)
        with open_folder(path) as folder:
            is_foreign = os.geteuid() == 0 != os.fstat(folder).st_uid
    except OSError as error:
        raise SettingsError(
            f"COINWATCH_DATA_DIR: the folder {path} cannot be used: {error.strerror}"
        ) from error
    if is_foreign:
        raise SettingsError(
            f"COINWATCH_DATA_DIR: the folder {path} is another user's, and root does not write there: "
            "run as that user, or set another folder"
        )


@contextmanager
def open_folder(path: Path) -> Iterator[int]:
    """A descriptor of the folder ``path``, for reading its entries and changing its owner and permissions.

    Raises like ``make_folder``.
    """
    with _located(path) as (folder, name):
        opened = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield opened
    finally:
        os.close(opened)


@contextmanager
def _located(path: Path) -> Iterator[tuple[int, str]]:
    """The folder of ``path``, opened, and the name in it, which is no link. Errors about it name ``path``."""
    folder = os.open("/", _SEARCH)
    links = 0
    steps = list(reversed(path.absolute().parts[1:]))
    name = "."
    try:
        while steps:
            name = steps.pop()
            target = _link(folder, name)
            if target is not None:
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                steps.extend(reversed(Path(target).parts))
                if target.startswith("/"):
                    steps.pop()
                    folder = _enter(folder, "/")
            elif steps:
                folder = _enter(folder, name)
        yield folder, name
    except OSError as error:
        if "/" not in str(error.filename):
            error.filename = str(path)
        raise
    finally:
        os.close(folder)


def _enter(folder: int, name: str) -> int:
    inner = os.open(name, _SEARCH, dir_fd=folder)
    os.close(folder)
    return inner


def _link(folder: int, name: str) -> str | None:
    """Where the link ``name`` leads; None when it is not a link.

    Raises PermissionError when another user may have placed it.
    """
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(status.st_mode):
        return None
    if not {status.st_uid, os.fstat(folder).st_uid} <= _trusted():
        raise PermissionError(errno.EPERM, "it is a link that another user may have placed")
    return os.readlink(name, dir_fd=folder)


def _check_plain(folder: int, file: int) -> None:
    status, place = os.fstat(file), os.fstat(folder)
    if not stat.S_ISREG(status.st_mode):
        raise PermissionError(errno.EPERM, "it is not a plain file")
    if place.st_uid in _trusted() and not place.st_mode & stat.S_IWOTH:
        return
    if status.st_nlink > 1 or status.st_uid not in (os.geteuid(), place.st_uid):
        raise PermissionError(errno.EPERM, "it may be another user's file by a second name")


def _trusted() -> set[int]:
    return {0, os.geteuid()}
