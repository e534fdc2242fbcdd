"""``coinwatch ingest``: the ingest daemon as a single service."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from app.cli.demo import command_settings
from app.cli.output import Demo
from app.cli.runner.service import run_until_signalled
from coinwatch import logs
from warehouse.db.connect import database_url
from warehouse.db.migrate import upgrade


def ingest(
    markets: Annotated[
        str | None,
        typer.Option(help="Markets to stream, comma separated. Default: COINWATCH_MARKETS."),
    ] = None,
    demo: Demo = False,
) -> None:
    """Stream trades into the warehouse, each stored once.

    Example: coinwatch ingest --markets binance:BTC-USDT,kraken:ETH-EUR

    Ctrl-C or SIGTERM commits the trades in memory and exits; a second signal exits at once.
    """
    from ingest_daemon import daemon  # a tenth of a second, which other commands need not spend

    overrides = {} if markets is None else {"markets": markets}
    settings = command_settings(demo=demo, **overrides)
    logs.configure("ingest", log_format=settings.log_format, level=settings.log_level)
    url = database_url(settings)
    upgrade(url)
    # Modules stay loaded: scanning them for garbage takes 80 ms, during which trades would wait.
    gc.collect()
    gc.freeze()
    run_until_signalled(lambda stop: daemon.run(settings, url, stop=stop))
