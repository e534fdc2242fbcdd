"""Runs ``coinwatch`` with settings of its own: as a process, or faster in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from app.cli.main import main

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


def call_coinwatch(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """As ``run_coinwatch``, in this process: for commands that do not set up logging."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["coinwatch", *arguments])
        environment = clean_environment(folder, **changes)
        for name in os.environ.keys() - environment.keys():
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
    code = ended.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
