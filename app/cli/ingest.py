"""``coinwatch ingest``: the daemon alone."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Annotated

import sqlalchemy
import typer
import uvloop

from coinwatch import logs
from coinwatch.settings import Settings, load_settings
from ingest_daemon import daemon
from warehouse.connect import database_url
from warehouse.migrate import upgrade


def ingest(
    markets: Annotated[
        str | None,
        typer.Option(help="Markets to stream, comma separated. Default: COINWATCH_MARKETS."),
    ] = None,
) -> None:
    """Stream trades into the warehouse, each once.

    Example: coinwatch ingest --markets binance:BTC-USDT,kraken:ETH-EUR

    Ctrl-C or SIGTERM stores what is held, then ends; a second one ends at once.
    """
    settings = load_settings() if markets is None else load_settings(markets=markets)
    logs.configure("ingest", log_format=settings.log_format, level=settings.log_level)
    url = database_url(settings)
    upgrade(url)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, url))


async def _run(settings: Settings, url: sqlalchemy.URL) -> None:
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    await daemon.run(settings, url, stop=stop)
