"""Runs ``coinwatch`` as a process, with settings of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COINWATCH = str(Path(sys.executable).parent / "coinwatch")


def clean_environment(folder: Path, **changes: str) -> dict[str, str]:
    """The environment without our settings, with a data folder and user configuration below ``folder``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COINWATCH_")}
    ours = {"COINWATCH_DATA_DIR": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "xdg")}
    return {**inherited, **ours, **changes}


def run_coinwatch(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder`` to its end; ``changes`` are environment variables."""
    return subprocess.run(
        [COINWATCH, *arguments],
        cwd=folder,
        env=clean_environment(folder, **changes),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
