"""The demo: the same programs with simulated exchanges and a data folder of their own."""

from __future__ import annotations

from typing import Any

from coinwatch.settings import DEFAULT_FEEDS, PROVIDERS, Settings, load_settings
from coinwatch.settings.addresses import local_url

RATE_LIMIT_SCALE = 20.0
"""The simulator needs no protection from our requests."""


def demo_environment(settings: Settings) -> dict[str, str]:
    """The variables that turn ``settings`` into those of the demo."""
    streams = local_url("ws", settings.simulator_host, settings.simulator_ws_port)
    rest = local_url("http", settings.simulator_host, settings.simulator_rest_port)
    return {
        **{f"COINWATCH_{name.upper()}_WS_URL": f"{streams}/{name}" for name in settings.exchanges()},
        **{
            f"COINWATCH_{name.upper()}_REST_URL": f"{rest}/{name}"
            for name in (*settings.exchanges(), *PROVIDERS)
        },
        "COINWATCH_NEWS_FEEDS": ",".join(f"{feed}={rest}/news/{feed}" for feed, _ in DEFAULT_FEEDS),
        "COINWATCH_DATABASE_URL": "",
        "COINWATCH_DATA_DIR": str(settings.data_dir / "demo"),
        "COINWATCH_RATE_LIMIT_SCALE": str(RATE_LIMIT_SCALE),
    }


def command_settings(*, demo: bool, **overrides: Any) -> Settings:
    """The settings of a command: of the live installation, or of the demo. Raises SettingsError."""
    settings = load_settings(**overrides)
    return load_settings(**demo_overrides(settings), **overrides) if demo else settings


def demo_overrides(settings: Settings) -> dict[str, str]:
    """``demo_environment`` by the names of the settings."""
    return {
        name.removeprefix("COINWATCH_").lower(): value for name, value in demo_environment(settings).items()
    }
