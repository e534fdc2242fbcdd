"""Every setting of Coinwatch, read from the environment, a ``.env`` file or a ``coinwatch.toml`` file."""

from coinwatch.settings.defaults import DEFAULT_FEEDS, DEFAULT_MARKETS, PROVIDERS
from coinwatch.settings.loading import load_access, load_settings, process_settings
from coinwatch.settings.model import Access, Settings

__all__ = [
    "DEFAULT_FEEDS",
    "DEFAULT_MARKETS",
    "PROVIDERS",
    "Access",
    "Settings",
    "load_access",
    "load_settings",
    "process_settings",
]
