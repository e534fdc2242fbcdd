"""Dagster's files in the data folder: logs of steps, and the values steps pass on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from coinwatch.files import make_own_folder
from coinwatch.settings import process_settings
from pipelines.dagster_private import (
    ConfigurableClassData,
    LocalArtifactStorage,
    LocalComputeLogManager,
    UserConfigSchema,
)


def folder() -> Path:
    """``COINWATCH_DATA_DIR``/dagster, made if missing. Raises SettingsError."""
    path = process_settings().data_dir / "dagster"
    make_own_folder(path)
    return path


class CoinwatchArtifacts(LocalArtifactStorage):
    """Artifacts below ``COINWATCH_DATA_DIR``, wherever ``DAGSTER_HOME`` is."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """No options: the folder is a setting."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Called by Dagster to create the storage."""
        return cls(str(folder()), inst_data=inst_data)


class CoinwatchComputeLogs(LocalComputeLogManager):
    """Output of steps, below ``COINWATCH_DATA_DIR``."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """No options: the folder is a setting."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Called by Dagster to create the log manager."""
        return cls(str(folder() / "logs"), inst_data=inst_data)
