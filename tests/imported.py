"""Reads the imports of a module from its source."""

from __future__ import annotations

import ast
from pathlib import Path


def imported_names(path: Path) -> set[tuple[str, str]]:
    """Each import of the module at ``path``, as (module, name); the name is empty for ``import module``."""
    names: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {(node.module or "", alias.name) for alias in node.names}
    return names


def imported_modules(path: Path) -> set[str]:
    """The dotted names of the modules that the module at ``path`` imports from."""
    return {module for module, _ in imported_names(path)}
