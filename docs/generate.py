"""Generates the pages that must match the code: settings, the command line, the warehouse
and the conditions of the alert protocol.

``make docs`` runs it. A test fails when a page differs from what it generates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from sqlalchemy.dialects import postgresql
from typer.testing import CliRunner

from app.cli.exit_codes import ExitCode
from app.cli.main import app
from app.cli.shapes import SHAPES
from coinwatch.settings import Settings
from docs.conditions import protocol_page, protocol_schema
from warehouse.tables import metadata
from warehouse.views import VIEWS

PROJECT = Path(__file__).resolve().parents[1]
_POSTGRES = postgresql.dialect()  # type: ignore[no-untyped-call]


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, tuple):
        return ", ".join("=".join(item) if isinstance(item, tuple) else str(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _variable(name: str) -> str:
    return f"COINWATCH_{name.upper()}"


def configuration() -> str:
    """``docs/configuration.md``."""
    rows = [
        f"| `{_variable(name)}` | {f'`{_default(field)}`' if _default(field) else 'unset'} "
        f"| {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join([_CONFIGURATION, "| variable | default | meaning |", "| --- | --- | --- |", *rows, ""])


_CONFIGURATION = """# Configuration

A setting is read from the first of these that has it:

1. the environment: `COINWATCH_ALERTS_PORT=9090`
2. a `.env` file in the working directory, with lines of the same form; give it mode 600, because it can
   hold secrets
3. a config file: the file named by `COINWATCH_CONFIG_FILE`, else `coinwatch.toml` in the working
   directory, else `~/.config/coinwatch/coinwatch.toml` (`XDG_CONFIG_HOME` moves `~/.config`); only one
   file is read
4. the default

In a config file, names are in lower case and without `COINWATCH_`. Comma-separated values can also be
written as lists or tables:

```toml
alerts_port = 9090
markets = ["binance:BTC-USDT", "kraken:BTC-EUR"]

[news_feeds]
coindesk = "https://www.coindesk.com/arc/outboundfeeds/rss/"
```

`coinwatch config show` prints every value and where it was read from. Secrets are masked there, and
never logged or printed. An invalid value stops a command with one line that names the variable.

Exchange addresses are roots (scheme, host, port, path), so each can point to the simulator, a proxy or a
recording.
"""


def env_example() -> str:
    """``.env.example``."""
    lines = ["# Copy this file (install -m 600 .env.example .env) and uncomment what you change.", ""]
    for name, field in Settings.model_fields.items():
        lines += [f"# {field.description}", f"#{_variable(name)}={_default(field)}", ""]
    return "\n".join(lines)


def warehouse() -> str:
    """``docs/warehouse.md``."""
    lines = [(PROJECT / "docs" / "warehouse.in.md").read_text()]
    for view in VIEWS:
        rows = [f"| `{column}` | {meaning} |" for column, meaning in view.columns.items()]
        lines += [
            f"### `{view.name}`",
            "",
            f"{view.meaning}.",
            "",
            "| column | meaning |",
            "| --- | --- |",
            *rows,
            "",
        ]
    lines += ["## Tables", "", "They may change with any release; the views above do not.", ""]
    for table in metadata.sorted_tables:
        key = ", ".join(column.name for column in table.primary_key)
        rows = [
            f"| `{column.name}` | {column.type.compile(dialect=_POSTGRES).lower()} | {column.comment or ''} |"
            for column in table.columns
        ]
        lines += [
            f"### `{table.name}`",
            "",
            f"Key: {key}." + (f" {table.comment}." if table.comment else ""),
            "",
        ]
        lines += ["| column | type | meaning |", "| --- | --- | --- |", *rows, ""]
    return "\n".join(lines)


def command_line() -> str:
    """``docs/cli.md``."""
    lines = [_COMMAND_LINE]
    lines += ["| exit code | meaning |", "| --- | --- |"]
    lines += [f"| {code.value} | {code.meaning} |" for code in ExitCode]
    for path in [[], *_commands()]:
        shown = CliRunner().invoke(app, [*path, "--help"], prog_name="coinwatch", env={"COLUMNS": "100"})
        title = " ".join(["coinwatch", *path])
        lines += ["", f"## `{title}`", "", "```text", shown.output.strip(), "```"]
    lines += ["", _JSON]
    for shape in SHAPES:
        lines += [f"### {_title(shape)}", "", "| field | type | meaning |", "| --- | --- | --- |"]
        lines += [
            f"| `{name}` | {kind} | {meaning} |"
            for name, kind, meaning in _fields(msgspec.inspect.type_info(shape))
        ]
        lines.append("")
    return "\n".join(lines)


_COMMAND_LINE = """# Command line

Generated from `--help` and from the types of what is printed.

Data is printed on stdout; errors and logs on stderr. Tables fit the terminal and are not cut when piped.
`NO_COLOR` turns colours off. `coinwatch --install-completion` completes commands in your shell.
"""

_JSON = """## JSON output

With `--json` a command prints one JSON object on stdout; `prices` and `watch` print one per line. A
command that fails prints an error object on stderr and nothing on stdout. Times are ISO 8601 in UTC.
Fields may be added in any release; those listed here stay.
"""


def _title(shape: type[msgspec.Struct]) -> str:
    """The commands that print ``shape``, from its docstring."""
    return (shape.__doc__ or "").replace("``", "`")


def _fields(kind: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, type and meaning of each field of a JSON object, with those of the objects in it."""
    for field in kind.fields:
        meaning, inner = "", field.type
        if isinstance(inner, msgspec.inspect.Metadata):
            meaning, inner = (inner.extra_json_schema or {}).get("description", ""), inner.type
        path = f"{prefix}{field.encode_name}"
        yield path, _type_name(inner), meaning
        if isinstance(inner, msgspec.inspect.ListType):
            path, inner = f"{path}[]", inner.item_type
        if isinstance(inner, msgspec.inspect.StructType):
            yield from _fields(inner, f"{path}.")


def _type_name(kind: Any) -> str:
    if isinstance(kind, msgspec.inspect.UnionType):
        return " or ".join(_type_name(part) for part in kind.types)
    if isinstance(kind, msgspec.inspect.ListType):
        return f"list of {_type_name(kind.item_type)}s"
    return _TYPE_NAMES[type(kind)]


_TYPE_NAMES: Mapping[type, str] = {
    msgspec.inspect.AnyType: "any",
    msgspec.inspect.BoolType: "boolean",
    msgspec.inspect.DateType: "date",
    msgspec.inspect.DateTimeType: "time",
    msgspec.inspect.FloatType: "number",
    msgspec.inspect.IntType: "integer",
    msgspec.inspect.NoneType: "null",
    msgspec.inspect.StrType: "string",
    msgspec.inspect.StructType: "object",
}


def _commands() -> Iterator[list[str]]:
    for command in app.registered_commands:
        yield [command.name or command.callback.__name__]  # type: ignore[union-attr]
    for group in app.registered_groups:
        inner = group.typer_instance
        assert inner is not None  # noqa: S101  # made by add_typer
        for command in inner.registered_commands:
            yield [str(inner.info.name), command.name or command.callback.__name__]  # type: ignore[union-attr]


PAGES = {
    "docs/configuration.md": configuration,
    "docs/cli.md": command_line,
    "docs/warehouse.md": warehouse,
    "docs/alert-protocol.md": protocol_page,
    "docs/alert-protocol.schema.json": protocol_schema,
    ".env.example": env_example,
}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (PROJECT / page).write_text(write())
