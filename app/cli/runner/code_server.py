"""Dagster's code server: it runs what its clients name, so only this user may reach it.

It listens on a Unix socket in a folder that is closed to all others.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from coinwatch.errors import SettingsError

LONGEST_SOCKET_PATH = 103
"""Bytes, without the final zero: 103 on macOS, 107 on Linux."""
UNUSABLE = frozenset("%#?")
"""Characters that gRPC reads as parts of a URL when they are in the path of a socket."""
SOCKET = "code.sock"


def socket_path(data_dir: Path) -> Path:
    """The path of the code server's socket. Makes its folder.

    The folder is ``rpc`` in the data folder. Where the path of a socket there would be too long or has
    characters that gRPC cannot use, the folder is among the user's runtime files or the temporary ones,
    and its name is that of no other data folder.

    Raises:
        SettingsError: The folder belongs to another user or cannot be made, or no path is usable.
    """
    usable = (folder for folder in _folders(data_dir) if is_usable(folder / SOCKET))
    folder = next(usable, None)
    if folder is None:
        raise SettingsError(
            f"no path for the socket of Dagster's code server: each is over {LONGEST_SOCKET_PATH} bytes or "
            f"contains one of {' '.join(sorted(UNUSABLE))}. Set COINWATCH_DATA_DIR to another folder."
        )
    make_private(folder)
    return folder / SOCKET


def is_usable(path: Path) -> bool:
    """Whether gRPC can serve on a Unix socket at ``path``. Pure: no I/O."""
    return len(os.fsencode(path)) <= LONGEST_SOCKET_PATH and not UNUSABLE & set(str(path))


def _folders(data_dir: Path) -> Iterator[Path]:
    yield data_dir / "rpc"
    name = f"coinwatch-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if Path(runtime).is_absolute() and os.access(runtime, os.W_OK):
        yield Path(runtime) / name
    yield Path(tempfile.gettempdir()) / name


def make_private(folder: Path) -> None:
    """Make ``folder``, or check that it is ours, and close it to all other users.

    Raises:
        SettingsError: It is a link or a file, belongs to another user, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise SettingsError(
            f"{folder}: cannot be used for the socket of Dagster's code server ({error.strerror}): "
            "remove it, or set COINWATCH_DATA_DIR to another folder"
        ) from None
    try:
        state = os.fstat(opened)
        if state.st_uid != os.geteuid():
            raise SettingsError(
                f"{folder} belongs to another user, who could replace Dagster's code server: "
                "remove it, or set COINWATCH_DATA_DIR to a folder of your own"
            )
        if stat.S_IMODE(state.st_mode) != 0o700:
            os.fchmod(opened, 0o700)
    finally:
        os.close(opened)
