"""How commands print: text and tables for people, JSON for programs."""

from __future__ import annotations

import sys
from typing import Annotated, Any, TextIO

import msgspec
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; docs/cli.md describes it.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Demo = Annotated[bool, typer.Option("--demo", help="Use the demo instead of the live installation.")]

_UNLIMITED_WIDTH = 100_000


def console(*, stderr: bool = False) -> Console:
    """A console that wraps tables to the terminal, cuts nothing when piped, and honours NO_COLOR."""
    return uncut(Console(stderr=stderr, highlight=False, soft_wrap=True))


def uncut(terminal: Console) -> Console:
    """``terminal``, without a limit of width where it is a pipe or a file."""
    if not terminal.is_terminal:
        terminal.width = _UNLIMITED_WIDTH
    return terminal


def table(*columns: str, title: str | None = None, right: tuple[str, ...] = ()) -> Table:
    """An empty table; the columns named in ``right`` are aligned right."""
    empty = Table(title=title, title_justify="left", box=SIMPLE)
    for column in columns:
        empty.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return empty


def print_json(value: msgspec.Struct) -> None:
    """Print a result as indented JSON on stdout."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())  # noqa: T201


def print_json_line(value: msgspec.Struct | dict[str, Any], *, file: TextIO | None = None) -> None:
    """Print one JSON object on a line of its own, at once, on stdout or ``file``."""
    print(msgspec.json.encode(value).decode(), file=file or sys.stdout, flush=True)
