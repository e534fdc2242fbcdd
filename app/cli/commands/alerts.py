"""``coinwatch alerts``: the alert endpoint as a single service."""

from __future__ import annotations

import gc

from app.cli.demo import command_settings
from app.cli.output import Demo
from app.cli.runner.service import run_until_signalled
from coinwatch import logs
from warehouse.db.connect import database_url
from warehouse.db.migrate import upgrade


def alerts(demo: Demo = False) -> None:
    """Serve alerts and prices over websockets, at ws://HOST:9090/ws and /prices.

    COINWATCH_HOST and COINWATCH_ALERTS_PORT set the address. Without tokens (coinwatch token) the
    endpoint listens only on the loopback address. Ctrl-C or SIGTERM closes all connections with code
    1001 and exits; a second signal exits at once.
    """
    from app.alerts.endpoint import serve  # half a second, which other commands need not spend

    settings = command_settings(demo=demo)
    logs.configure("alerts", log_format=settings.log_format, level=settings.log_level)
    url = database_url(settings)
    upgrade(url)
    reduce_garbage_collection()
    run_until_signalled(lambda stop: serve(settings, url, stop=stop))


def reduce_garbage_collection() -> None:
    """Collect garbage less often, and only among young objects.

    Rules contain no reference cycles, and a full collection over a million of them takes a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)
