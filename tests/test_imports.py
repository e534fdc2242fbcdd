"""The arrows between the folders: nothing imports a part it may not know."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import PROJECT

MAY_IMPORT = {
    "coinwatch": set[str](),
    "sources": {"coinwatch"},
    "warehouse": {"coinwatch"},
    "simulator": {"coinwatch"},
    "ingest_daemon": {"coinwatch", "sources", "warehouse"},
    "pipelines": {"coinwatch", "sources", "warehouse"},
    "app": {"coinwatch", "sources", "warehouse", "ingest_daemon", "pipelines"},
}
OURS = set(MAY_IMPORT)


def imported_folders(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names} & OURS


@pytest.mark.parametrize("folder", sorted(OURS))
def test_imports_follow_the_arrows(folder: str) -> None:
    for path in (PROJECT / folder).rglob("*.py"):
        allowed = MAY_IMPORT[folder] | {folder}
        if path.is_relative_to(PROJECT / "app" / "cli"):
            allowed |= {"simulator"}
        wrong = imported_folders(path) - allowed
        assert not wrong, f"{path.relative_to(PROJECT)} imports {', '.join(sorted(wrong))}"
