"""One message by apprise, in a process of its own.

What a service answers is read by one of a hundred plugins without a limit of time or size, so the process has
both, and can be ended. It connects to public addresses only, whatever the plugin does: redirects included.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import sys
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

import apprise

from app.alerts.outlets.webhooks import check_host
from coinwatch.errors import SettingsError
from sources.public_network import is_public

LIMIT_S = 30
"""After so long the process ends, even if the endpoint that waits for it is gone."""
MEMORY_BYTES = 1024**3
_NICE = 5
_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})

# Its log contains what it sends, addresses and tokens included.
logging.getLogger("apprise").setLevel(logging.CRITICAL)
_ASSET = apprise.AppriseAsset(app_id="Coinwatch", storage_mode=apprise.PersistentStoreMode.MEMORY)
apprise.Apprise.instantiate("json://localhost", asset=_ASSET)  # loads all plugins, once for all messages


class PublicOnly:
    """Refuses all connections of this process but those to public addresses, from ``install`` on."""

    def __init__(self) -> None:
        self.has_refused = False

    def install(self) -> None:
        """Begin. There is no end: an audit hook stays for the life of the process."""
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CONNECTING and not _may_connect(*arguments):
            self.has_refused = True
            raise ConnectionRefusedError("the address is private")


def _may_connect(connecting: socket.socket, address: Any) -> bool:
    if connecting.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    if address is None:  # of a socket that is connected
        return True
    try:
        return is_public(address[0])
    except ValueError:  # a name, which the socket itself would resolve
        return False


def service(url: str, *, allow_private: bool) -> str:
    """The name of the service that ``url`` is of. Raises SettingsError when it is of none, or private."""
    made = apprise.Apprise.instantiate(url, asset=_ASSET)
    if made is None:
        raise SettingsError(
            "no service has such a URL: github.com/caronc/apprise/wiki shows those of each, "
            "such as tgram://TOKEN/CHAT, discord://ID/TOKEN or mailto://USER:PASSWORD@example.org"
        )
    check_host(urlsplit(url).hostname or "", allow_private=allow_private)
    return str(made.service_name or made.secure_protocol or made.protocol)


def run(results: Connection, url: str, title: str, body: str, *, allow_private: bool) -> None:
    """Send a message, and to ``results`` why it failed or None, and whether for a private address."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the endpoint
    signal.alarm(LIMIT_S)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.nice(_NICE)
    public_only = PublicOnly()
    if not allow_private:
        public_only.install()
    try:
        problem = _send(url, title, body)
    except Exception as error:  # whatever one of a hundred services may raise
        problem = type(error).__name__
    results.send((problem, problem is not None and public_only.has_refused))


def _send(url: str, title: str, body: str) -> str | None:
    services = apprise.Apprise(asset=_ASSET)
    if not services.add(url):
        return "no service has such a URL"
    return None if services.notify(body=body, title=title) else "the service did not take it"
