"""Imports go one way, between folders and inside app/alerts and app/dashboard; modules stay small."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
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

IN_DASHBOARD = {"data": {"data"}, "ui": {"ui", "data"}}
"""What the shared packages of the dashboard import of it; a page imports both and itself."""
SHARED_PAGES = {("alerts", "chart"): "the backtest of an alert is drawn as a chart of candles"}
"""A page that imports another, and why."""

IN_RULES = {"coinwatch", "app.alerts.rules"}
"""What the pure rules of alerts import of ours."""
IO_LIBRARIES = {"asyncio", "httpx", "picows", "psycopg", "sqlalchemy", "starlette", "websockets"}

MOST_MODULES = 16
MANY_MODULES = {"sources/exchanges"}
"""One module an exchange."""
MOST_LINES = 400


def modules(folder: str) -> Iterator[Path]:
    return (PROJECT / folder).rglob("*.py")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(path: Path) -> frozenset[str]:
    """The full names of what a module imports anywhere: ``package.module`` and ``package.module.name``."""
    return frozenset(_names(path, ast.walk(ast.parse(path.read_text()))))


def _names(path: Path, nodes: Iterator[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_packages(path: Path, parent: str) -> set[str]:
    """The packages directly below ``parent`` from which a module imports."""
    below = (name.removeprefix(f"{parent}.") for name in imports(path) if name.startswith(f"{parent}."))
    return {name.partition(".")[0] for name in below}


@pytest.mark.parametrize("folder", sorted(OURS))
def test_imports_follow_the_arrows(folder: str) -> None:
    for path in modules(folder):
        allowed = MAY_IMPORT[folder] | {folder}
        if path.is_relative_to(PROJECT / "app" / "cli"):
            allowed |= {"simulator"}
        wrong = {name.partition(".")[0] for name in imports(path)} & OURS - allowed
        assert not wrong, f"{path.relative_to(PROJECT)} imports {', '.join(sorted(wrong))}"


def test_pages_of_the_dashboard_do_not_import_each_other() -> None:
    root = PROJECT / "app" / "dashboard"
    packages = {path.parent.name for path in root.glob("*/__init__.py")}
    shared = set()
    for package in sorted(packages):
        for path in modules(f"app/dashboard/{package}"):
            allowed = IN_DASHBOARD.get(package, {"data", "ui", package})
            for other in (imported_packages(path, "app.dashboard") & packages) - allowed:
                assert (package, other) in SHARED_PAGES, f"{path.relative_to(PROJECT)} imports {other}"
                shared.add((package, other))
    assert shared == set(SHARED_PAGES), "an exception is no longer needed"


def test_the_rules_of_alerts_are_pure() -> None:
    for path in modules("app/alerts/rules"):
        wrong = {name for name in imports(path) if name.partition(".")[0] in IO_LIBRARIES}
        wrong |= {
            name
            for name in imports(path)
            if name.partition(".")[0] in OURS and not any(name.startswith(f"{part}.") for part in IN_RULES)
        }
        assert not wrong, f"{path.relative_to(PROJECT)} imports {', '.join(sorted(wrong))}"


def test_the_evaluation_of_alerts_does_not_know_connections() -> None:
    wrong = {
        str(path.relative_to(PROJECT))
        for path in modules("app/alerts/evaluation")
        if "connections" in imported_packages(path, "app.alerts")
    }
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    paths = {name_of(path): path for folder in OURS for path in modules(folder)}
    arrows = {}
    for name, path in paths.items():
        tree = ast.parse(path.read_text())
        targets = {
            target if target in paths else target.rpartition(".")[0]
            for target in _names(path, _at_import(tree.body))
        }
        arrows[name] = sorted(targets & set(paths) - {name})
    circle = _circle(arrows)
    assert not circle, " imports ".join(circle)


def _at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """The statements that run when a module is imported."""
    for node in body:
        yield node
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                pass
            case ast.If(body=inner, orelse=other) | ast.Try(body=inner, orelse=other):
                yield from _at_import([*inner, *other])
            case _:
                pass


def _circle(arrows: dict[str, list[str]]) -> list[str]:
    """The first circle, with its first module at both ends; empty without one."""
    done: set[str] = set()
    way: list[str] = []

    def visit(name: str) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name not in done:
            way.append(name)
            for target in arrows[name]:
                if circle := visit(target):
                    return circle
            done.add(way.pop())
        return []

    for name in sorted(arrows):
        if circle := visit(name):
            return circle
    return []


def test_a_circle_is_detected() -> None:
    assert _circle({"a": ["b"], "b": ["c"], "c": ["b"], "d": []}) == ["b", "c", "b"]
    assert _circle({"a": ["b", "c"], "b": ["c"], "c": []}) == []


def test_folders_and_modules_stay_small() -> None:
    counts: Counter[str] = Counter()
    for folder in (*OURS, "tests"):
        for path in modules(folder):
            if path.name != "__init__.py":
                counts[str(path.parent.relative_to(PROJECT))] += 1
            name, lines = str(path.relative_to(PROJECT)), len(path.read_text().splitlines())
            assert lines <= MOST_LINES, f"{name} has {lines} lines"
    crowded = {name: count for name, count in counts.items() if count > MOST_MODULES}
    assert not crowded.keys() - MANY_MODULES, crowded
