"""``coinwatch alerts``: the websocket endpoint alone."""

from __future__ import annotations

import asyncio
import os
import signal

import sqlalchemy
import uvloop

from app.alerts.endpoint import serve
from coinwatch import logs
from coinwatch.settings import Settings, load_settings
from warehouse.connect import database_url
from warehouse.migrate import upgrade


def alerts() -> None:
    """Tell subscribers when a price is reached, over ws://HOST:9090/ws.

    COINWATCH_HOST and COINWATCH_ALERTS_PORT move it. Ctrl-C or SIGTERM closes every connection (1001)
    and ends; a second one ends at once.
    """
    settings = load_settings()
    logs.configure("alerts", log_format=settings.log_format, level=settings.log_level)
    url = database_url(settings)
    upgrade(url)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, url))


async def _serve(settings: Settings, url: sqlalchemy.URL) -> None:
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    await serve(settings, url, stop=stop)
