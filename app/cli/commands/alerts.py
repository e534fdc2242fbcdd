"""``coinwatch alerts``: the websocket endpoint alone."""

from __future__ import annotations

import gc

from app.alerts.endpoint import serve
from app.cli.runner.service import run_until_signalled
from coinwatch import logs
from coinwatch.settings import load_settings
from warehouse.db.connect import database_url
from warehouse.db.migrate import upgrade


def alerts() -> None:
    """Tell subscribers when a price is reached, over ws://HOST:9090/ws.

    COINWATCH_HOST and COINWATCH_ALERTS_PORT move it; without tokens (coinwatch token) it listens on this
    machine alone. Ctrl-C or SIGTERM closes every connection (1001)
    and ends; a second one ends at once.
    """
    settings = load_settings()
    logs.configure("alerts", log_format=settings.log_format, level=settings.log_level)
    url = database_url(settings)
    upgrade(url)
    collect_seldom()
    run_until_signalled(lambda stop: serve(settings, url, stop=stop))


def collect_seldom() -> None:
    """Look for garbage in cycles seldom, but before there is much of it, and among what is young.

    A million rules have none, and going through them takes a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)
