"""Dagster's files, in the data folder: step logs and the values steps hand on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from dagster._config import UserConfigSchema
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._serdes import ConfigurableClassData

from coinwatch.settings import load_settings


def folder() -> Path:
    """``COINWATCH_DATA_DIR``/dagster."""
    return load_settings().data_dir / "dagster"


class CoinwatchArtifacts(LocalArtifactStorage):
    """Artifacts below ``COINWATCH_DATA_DIR``, wherever ``DAGSTER_HOME`` is."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        return cls(str(folder()), inst_data=inst_data)


class CoinwatchComputeLogs(LocalComputeLogManager):
    """What steps print, below ``COINWATCH_DATA_DIR``."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        return cls(str(folder() / "logs"), inst_data=inst_data)
