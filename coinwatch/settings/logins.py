"""Which parts do not start without a login."""

from __future__ import annotations

from coinwatch.errors import SettingsError
from coinwatch.settings.addresses import is_loopback
from coinwatch.settings.model import Settings


def check_dagster_login(settings: Settings) -> None:
    """Check that Dagster's web server has a token where other machines can reach it.

    Raises:
        SettingsError: It has none.
    """
    if settings.dagster_token is None and not is_loopback(settings.dagster_host):
        raise SettingsError(
            f"COINWATCH_DAGSTER_HOST is {settings.dagster_host}: Dagster has no login, so set "
            "COINWATCH_DAGSTER_TOKEN, such as to the output of `openssl rand -hex 32`, "
            "or listen on 127.0.0.1 and put a proxy with a login in front"
        )
