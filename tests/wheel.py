"""Builds the wheel of this checkout and installs it elsewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT

PACKAGES = ("app", "coinwatch", "ingest_daemon", "pipelines", "simulator", "sources", "warehouse")


def build_wheel(folder: Path) -> Path:
    """Build the wheel in ``folder``, from a copy of the sources, and return its path."""
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(PROJECT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("coinwatch-*.whl")
    return wheel


def install_wheel(wheel: Path, folder: Path) -> Path:
    """Install ``wheel`` without its dependencies into ``folder``; to be put on PYTHONPATH."""
    _pip("install", "--no-deps", "--target", str(folder), str(wheel))
    return folder


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
