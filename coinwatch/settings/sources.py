"""Where values of settings are read from: the environment, a ``.env`` file and a ``coinwatch.toml`` file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

from coinwatch.errors import SettingsError

CONFIG_FILE = "coinwatch.toml"
ENVIRONMENT, DOTENV, DEFAULT = "environment", ".env", "default"
"""Names of origins. The origin of a value from ``coinwatch.toml`` is the path of that file."""


class ConfigFile(TomlConfigSettingsSource):
    """Settings of a ``coinwatch.toml`` file, by their names without ``COINWATCH_`` and in lower case."""

    def __init__(self, kind: type[BaseSettings], path: Path | None) -> None:
        self.path = path
        try:
            super().__init__(kind, toml_file=path)
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{path} is not valid TOML: {error}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot read {path}: {error}") from None


def config_path(environment: EnvSettingsSource, dotenv: DotEnvSettingsSource) -> Path | None:
    """The ``coinwatch.toml`` to read, None when there is none.

    It is the file named by ``COINWATCH_CONFIG_FILE``, else the one in the working directory, else the
    user's own below ``XDG_CONFIG_HOME``. Without a ``.env`` file to read, only a named file is read.

    Raises:
        SettingsError: The named file does not exist.
    """
    named = environment.env_vars.get("coinwatch_config_file") or dotenv.env_vars.get("coinwatch_config_file")
    if named:
        path = Path(named).expanduser().absolute()
        if not path.is_file():
            raise SettingsError(f"COINWATCH_CONFIG_FILE: there is no file {path}")
        return path
    if dotenv.env_file is None:
        return None
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "coinwatch" / CONFIG_FILE
    return next((path for path in (Path.cwd() / CONFIG_FILE, user) if path.is_file()), None)


def sources(
    kind: type[BaseSettings],
    overrides: PydanticBaseSettingsSource,
    environment: PydanticBaseSettingsSource,
    dotenv: PydanticBaseSettingsSource,
) -> tuple[PydanticBaseSettingsSource, ...]:
    """All sources of ``kind``, the strongest first. Raises SettingsError as ``config_path``."""
    assert isinstance(environment, EnvSettingsSource)  # noqa: S101  # pydantic-settings types them loosely
    assert isinstance(dotenv, DotEnvSettingsSource)  # noqa: S101
    return overrides, environment, dotenv, ConfigFile(kind, config_path(environment, dotenv))


def origins(kind: type[BaseSettings]) -> Mapping[str, str]:
    """The origin of each setting of ``kind``: ``environment``, ``.env``, a path or ``default``.

    Raises:
        SettingsError: The config file cannot be read.
    """
    environment, dotenv = EnvSettingsSource(kind), DotEnvSettingsSource(kind)
    file = ConfigFile(kind, config_path(environment, dotenv))
    given: dict[str, str] = dict.fromkeys(kind.model_fields, DEFAULT)
    layers: list[tuple[Mapping[str, Any], str]] = [
        (file(), str(file.path)),
        (dotenv(), DOTENV),
        (environment(), ENVIRONMENT),
    ]
    for values, origin in layers:
        given |= {name: origin for name in values if name in given}
    return given


def unknown_keys(kind: type[BaseSettings]) -> tuple[Path, list[str]] | None:
    """The config file and those of its keys that are no settings of ``kind``, None when all are."""
    file = ConfigFile(kind, config_path(EnvSettingsSource(kind), DotEnvSettingsSource(kind)))
    unknown = sorted(file.toml_data.keys() - kind.model_fields.keys())
    return (file.path, unknown) if file.path and unknown else None
