"""Loads the settings and reports invalid values."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import ValidationError

from coinwatch.errors import SettingsError
from coinwatch.settings.model import Access, Settings
from coinwatch.settings.sources import DEFAULT, ENVIRONMENT, origins, unknown_keys


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; ``overrides`` take precedence over every source.

    Raises:
        SettingsError: A value is invalid. The message names the variable and never shows a secret.
    """
    if unknown := unknown_keys(Settings):
        path, keys = unknown
        raise SettingsError(f"{path}: unknown settings: {', '.join(keys)}; see docs/configuration.md")
    return _load(Settings, overrides)


@cache
def process_settings() -> Settings:
    """The settings of this process, read once.

    For programs that a framework starts (Dagster, Streamlit), which have no entry point of ours. Raises
    like ``load_settings``.
    """
    return load_settings()


def load_access() -> Access:
    """Read the settings of a client. Raises like ``load_settings``."""
    return _load(Access, {})


S = TypeVar("S", bound=Access)


def _load(kind: type[S], overrides: Mapping[str, Any]) -> S:
    try:
        return kind(**overrides)
    except ValidationError as error:
        lines = []
        given = origins(kind)
        for problem in error.errors(include_input=False, include_url=False):
            name = str(problem["loc"][0])
            variable = "_".join(("coinwatch", *map(str, problem["loc"]))).upper()
            origin = DEFAULT if name in overrides else given.get(name, DEFAULT)
            where = "" if origin in (DEFAULT, ENVIRONMENT) else f" (in {origin})"
            lines.append(f"{variable}: {problem['msg'].removeprefix('Value error, ')}{where}")
        raise SettingsError("; ".join(lines)) from None
