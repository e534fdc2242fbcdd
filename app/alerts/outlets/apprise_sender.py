"""Messages by apprise: Telegram, Discord, Slack, e-mail, ntfy and a hundred more, each by its URL."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

import apprise

from app.alerts.outlets.webhooks import Outcome
from coinwatch.alerts import Alert
from coinwatch.errors import SettingsError

TIMEOUT_S = 30.0

# Its log contains what it sends, addresses and tokens included.
logging.getLogger("apprise").setLevel(logging.CRITICAL)

# Loading a hundred services takes a second, and most of them wait for the network in the thread they are in.
_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="apprise")
_ASSET = apprise.AppriseAsset(app_id="Coinwatch", storage_mode=apprise.PersistentStoreMode.MEMORY)


def service(url: str) -> str:
    """The name of the service that ``url`` is of. Raises SettingsError when it is of none."""
    made = apprise.Apprise.instantiate(url, asset=_ASSET)
    if made is None:
        raise SettingsError(
            "no service has such a URL: github.com/caronc/apprise/wiki shows those of each, "
            "such as tgram://TOKEN/CHAT, discord://ID/TOKEN or mailto://USER:PASSWORD@example.org"
        )
    return str(made.service_name or made.secure_protocol or made.protocol)


async def send(url: str, alert: Alert) -> Outcome:
    """One attempt. Never raises for what the service does."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await asyncio.get_running_loop().run_in_executor(_threads, _send, url, alert)
    except TimeoutError:
        return Outcome(delivered=False, error=f"no answer within {TIMEOUT_S:g} s")
    except Exception as error:  # whatever one of a hundred services may raise
        return Outcome(delivered=False, error=type(error).__name__)


def _send(url: str, alert: Alert) -> Outcome:
    services = apprise.Apprise(asset=_ASSET)
    if not services.add(url):
        return Outcome(delivered=False, error="no service has such a URL")
    taken = services.notify(body=alert.message, title=f"Coinwatch: {alert.symbol}")
    return Outcome(delivered=True) if taken else Outcome(delivered=False, error="the service did not take it")
