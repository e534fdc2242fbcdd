"""``coinwatch config``: the settings in use."""

from __future__ import annotations

import re
from typing import Any

import typer
from pydantic import SecretStr

from app.cli.demo import command_settings, demo_overrides
from app.cli.output import AsJson, Demo, console, print_json, table
from app.cli.shapes import Config, Setting
from coinwatch.settings import Settings, load_settings
from coinwatch.settings.sources import origins

MASK = "***"
_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*:)[^/@\s]*(@)|([?&]password=)[^&\s]*()")
"""The password of a URL."""

_TABLES = ("news_feeds", "asset_ids")

config = typer.Typer(name="config", help="The settings in use.", no_args_is_help=True)


@config.callback()
def _group() -> None:
    pass


@config.command()
def show(demo: Demo = False, as_json: AsJson = False) -> None:
    """Show every setting with its value and where it was read from.

    Secrets are masked.
    """
    settings = command_settings(demo=demo)
    given = origins(Settings)
    if demo:
        given = {**given, **dict.fromkeys(demo_overrides(load_settings()), "demo")}
    rows = [
        Setting(
            name=name, variable=f"COINWATCH_{name.upper()}", value=_masked(name, value), origin=given[name]
        )
        for name, value in settings
    ]
    if as_json:
        print_json(Config(settings=rows))
        return
    shown = table("setting", "value", "origin")
    for row in rows:
        shown.add_row(row.variable, _text(row.value), row.origin)
    console().print(shown)


def _masked(name: str, value: Any) -> Any:
    """``value`` as JSON types, without secrets."""
    if name == "database_url" and value is not None:
        return _mask_password(value.get_secret_value())
    if isinstance(value, SecretStr):
        return MASK
    if name == "alerts_tokens":
        return {owner: MASK for owner, _ in value}
    if isinstance(value, tuple):
        return dict(value) if name in _TABLES else [str(entry) for entry in value]
    if isinstance(value, str):
        return _mask_password(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _mask_password(url: str) -> str:
    return _PASSWORD.sub(lambda match: (match[1] or match[3]) + MASK + (match[2] or ""), url)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key}={entry}" for key, entry in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)
