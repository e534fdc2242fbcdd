"""Writes the pages that must not drift from the code: settings and the command line.

``make docs`` runs it; a test fails when a page differs from what it would write.
"""

from __future__ import annotations

from pathlib import Path

import click
import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.cli.main import app
from coinwatch.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)


def _variable(name: str) -> str:
    return f"COINWATCH_{name.upper()}"


def configuration() -> str:
    """``docs/configuration.md``."""
    rows = [
        f"| `{_variable(name)}` | {f'`{_default(field)}`' if _default(field) else 'unset'} "
        f"| {field.description} |".replace(",", ", " if name == "markets" else ",")
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(
        [
            "# Configuration",
            "",
            "Every setting is an environment variable, or a line of a `.env` file in the folder where the",
            "command runs; the environment wins. A wrong value stops the command with one line that names",
            "the variable. Secrets are never logged or printed.",
            "",
            "| variable | default | meaning |",
            "| --- | --- | --- |",
            *rows,
            "",
            "Addresses of exchanges are roots: any host, path and port, so that each can be pointed at the",
            "simulator, a proxy or a recording.",
            "",
        ]
    )


def env_example() -> str:
    """``.env.example``."""
    lines = ["# Copy to .env and uncomment what you change. docs/configuration.md says more.", ""]
    for name, field in Settings.model_fields.items():
        lines += [f"# {field.description}", f"#{_variable(name)}={_default(field)}", ""]
    return "\n".join(lines)


def command_line() -> str:
    """``docs/cli.md``."""
    root = typer.main.get_command(app)
    lines = ["# Command line", "", "Written from `--help`.", ""]
    lines += _command_pages("coinwatch", root)
    return "\n".join(lines)


def _command_pages(path: str, command: click.Command) -> list[str]:
    context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100)
    if isinstance(command, click.Group):
        pages: list[str] = []
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                pages += _command_pages(f"{path} {name}", child)
        return pages
    text = click.Command.get_help(_plain(command), context)
    return [f"## `{path}`", "", "```text", text.strip(), "```", ""]


def _plain(command: click.Command) -> click.Command:
    """The same command, formatted by click: the page must not depend on a terminal."""
    return click.Command(command.name, params=command.params, help=command.help)


PAGES = {
    "docs/configuration.md": configuration,
    "docs/cli.md": command_line,
    ".env.example": env_example,
}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (PROJECT / page).write_text(write())
