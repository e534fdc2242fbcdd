"""Optional sources of sentiment, and secrets as text."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from coinwatch.sentiment.scoring import SentimentSource
from coinwatch.settings import Settings
from sources.providers.credentials import OPTIONAL, not_configured, secret_text


@pytest.mark.parametrize(("secret", "text"), [(None, None), ("", None), ("  ", None), (" key ", "key")])
def test_an_empty_secret_is_none(secret: str | None, text: str | None) -> None:
    assert secret_text(None if secret is None else SecretStr(secret)) == text


def test_optional_sources_are_off_until_they_are_configured() -> None:
    assert not_configured(Settings(_env_file=None)) == OPTIONAL
    configured = Settings(_env_file=None, x_bearer_token=SecretStr("token"), reddit_client_id="id")
    assert set(not_configured(configured)) == {SentimentSource.REDDIT, SentimentSource.TELEGRAM}
