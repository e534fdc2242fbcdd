"""``coinwatch ingest``: the daemon alone."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from app.cli.runner.service import run_until_signalled
from coinwatch import logs
from coinwatch.settings import load_settings
from ingest_daemon import daemon
from warehouse.db.connect import database_url
from warehouse.db.migrate import upgrade


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
    # What is loaded stays: to look through all of it for garbage takes 80 ms, for which trades would wait.
    gc.collect()
    gc.freeze()
    run_until_signalled(lambda stop: daemon.run(settings, url, stop=stop))
