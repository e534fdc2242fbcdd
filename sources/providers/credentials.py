"""Credentials of providers, and which sources of sentiment lack theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import SecretStr

from coinwatch.sentiment.scoring import SentimentSource
from coinwatch.settings import Settings

OPTIONAL: Final[Mapping[SentimentSource, str]] = {
    SentimentSource.REDDIT: "COINWATCH_REDDIT_CLIENT_ID and COINWATCH_REDDIT_CLIENT_SECRET",
    SentimentSource.X: "COINWATCH_X_BEARER_TOKEN",
    SentimentSource.TELEGRAM: "COINWATCH_TELEGRAM_CHANNELS",
}
"""Sources of sentiment that are off until these settings are set; the others need no key."""


def not_configured(settings: Settings) -> dict[SentimentSource, str]:
    """The optional sources that are off, and the settings that turn them on."""
    configured = {
        SentimentSource.REDDIT: bool(
            settings.reddit_client_id and secret_text(settings.reddit_client_secret)
        ),
        SentimentSource.X: bool(secret_text(settings.x_bearer_token)),
        SentimentSource.TELEGRAM: bool(settings.telegram_channels),
    }
    return {source: names for source, names in OPTIONAL.items() if not configured[source]}


def secret_text(secret: SecretStr | None) -> str | None:
    """The text of a secret; None for an empty one, as an emptied line of ``.env`` means."""
    return (secret.get_secret_value().strip() or None) if secret else None
