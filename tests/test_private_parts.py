"""Private parts of libraries: each is imported in a module of its own, and still exists."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import version

import pytest

from tests.conftest import PROJECT
from tests.imported import imported_modules, imported_names
from tests.wheel import PACKAGES

_DAGSTER = r"dagster\w*\._|dagster_(shared|webserver)\."
PRIVATE = {
    "pipelines/dagster_private.py": ("dagster", _DAGSTER),
    "pipelines/web/dagster_private.py": ("dagster", _DAGSTER),
    "warehouse/db/psycopg_private.py": ("psycopg", r"psycopg\.(_|generators)"),
    "app/dashboard/streamlit_private.py": (
        "streamlit",
        r"streamlit\.(_|config|elements|navigation|components\.v2\.|delta_generator|runtime|web)",
    ),
    "app/dashboard/serving/uvicorn_private.py": ("uvicorn", r"uvicorn\.(_|config|protocols|server)"),
}
"""By the modules that alone may import them: the library, and a pattern of its private modules."""

PARTS = [
    (library, module, name)
    for file, (library, pattern) in PRIVATE.items()
    for module, name in sorted(imported_names(PROJECT / file))
    if re.match(pattern, module)
]


@pytest.mark.parametrize("file", PRIVATE)
def test_private_parts_are_imported_where_they_belong(file: str) -> None:
    library, pattern = PRIVATE[file]
    users = {
        str(path.relative_to(PROJECT))
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*.py")
        if any(re.match(pattern, module) for module in imported_modules(path))
    }
    allowed = {module for module, (name, _) in PRIVATE.items() if name == library}
    assert file in users
    assert users <= allowed, f"private parts of {library} belong in {' or '.join(allowed)}"


def test_no_other_private_modules_are_imported() -> None:
    private = {
        f"{path.relative_to(PROJECT)}: {module}"
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*.py")
        for module in imported_modules(path)
        if "._" in module and str(path.relative_to(PROJECT)) not in PRIVATE
    }
    assert not private


@pytest.mark.parametrize(("library", "module", "name"), PARTS)
def test_private_part_exists(library: str, module: str, name: str) -> None:
    broken = f"{library} {version(library)} has no {module}.{name}; see {library}_private.py"
    try:
        part = getattr(import_module(module), name, None)
    except ImportError as error:
        pytest.fail(f"{broken}: {error}")
    assert part is not None, broken


def test_launcher_uses_methods_that_dagster_has() -> None:
    from dagster import DefaultRunLauncher

    from pipelines.dagster_private import DagsterGrpcClient

    assert callable(getattr(DefaultRunLauncher, "_get_grpc_client_for_termination", None))
    assert callable(getattr(DagsterGrpcClient, "can_cancel_execution", None))
