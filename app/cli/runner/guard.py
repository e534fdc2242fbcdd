"""Ends what a killed ``coinwatch up`` leaves: its parts with all they have started, and Postgres.

A program of its own, started by ``up`` as ``python -m app.cli.runner.guard FOLDER RUN`` with a pipe as its
input. The pipe ends when ``up`` does, however it does. Until then this process holds nothing but Python.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path


def main(folder: Path, run: str) -> None:
    """Wait for the end of ``up``, then end what is left of its ``run`` on the data ``folder``."""
    sys.stdin.buffer.read()
    from app.cli.runner.data_folder import end_after  # 30 MB, which nothing needs while up runs
    from coinwatch.errors import CoinwatchError

    _print("`coinwatch up` was killed: ending what it left")
    try:
        end_after(folder, run)
    except CoinwatchError as error:
        _print(str(error))
        sys.exit(1)


def _print(line: str) -> None:
    with suppress(OSError):  # the terminal was closed
        print(f"coinwatch: {line}", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
