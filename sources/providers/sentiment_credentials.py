"""Which sources of sentiment are off, and the settings that turn them on. None of the others needs a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import SecretStr

from coinwatch.sentiment.scoring import Source
from coinwatch.settings import Settings

OPTIONAL: Final[Mapping[Source, str]] = {
    Source.REDDIT: "COINWATCH_REDDIT_CLIENT_ID and COINWATCH_REDDIT_CLIENT_SECRET",
    Source.X: "COINWATCH_X_BEARER_TOKEN",
    Source.TELEGRAM: "COINWATCH_TELEGRAM_CHANNELS",
}
"""Sources that are off until the settings named here are made."""


def not_configured(settings: Settings) -> dict[Source, str]:
    """The optional sources that are off, and the settings that would turn them on."""
    has = {
        Source.REDDIT: bool(settings.reddit_client_id and told(settings.reddit_client_secret)),
        Source.X: bool(told(settings.x_bearer_token)),
        Source.TELEGRAM: bool(settings.telegram_channels),
    }
    return {source: names for source, names in OPTIONAL.items() if not has[source]}


def told(key: SecretStr | None) -> str | None:
    """An empty key is none: it is what an emptied line of ``.env`` means."""
    return (key.get_secret_value().strip() or None) if key else None
