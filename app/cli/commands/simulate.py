"""``coinwatch simulate``: simulated exchanges on local ports."""

from __future__ import annotations

import asyncio
from typing import Annotated

import structlog
import typer

from app.cli.runner.service import run_until_signalled
from coinwatch.logs import configure
from coinwatch.settings import Settings, load_settings


def simulate(
    trades_per_s: Annotated[
        float | None,
        typer.Option(
            help="Trades per second over all markets. Default: COINWATCH_SIMULATOR_TRADES_PER_S.", min=0.01
        ),
    ] = None,
) -> None:
    """Simulate the exchanges, websocket and REST, until Ctrl-C.

    Example: coinwatch simulate --trades-per-s 500
    """
    overrides = {} if trades_per_s is None else {"simulator_trades_per_s": trades_per_s}
    settings = load_settings(**overrides)
    configure("simulator", log_format=settings.log_format, level=settings.log_level)
    run_until_signalled(lambda stop: _run(settings, stop))


async def _run(settings: Settings, stop: asyncio.Event) -> None:
    from simulator.server import Simulator  # a tenth of a second, which other commands need not spend

    async with Simulator(
        trades_per_s=settings.simulator_trades_per_s,
        ws_port=settings.simulator_ws_port,
        rest_port=settings.simulator_rest_port,
        host=settings.simulator_host,
    ) as simulator:
        structlog.get_logger().info(
            "simulated exchanges are ready",
            exchanges=", ".join(simulator.exchanges),
            markets=len(simulator.markets),
            trades_per_s=settings.simulator_trades_per_s,
            websocket=simulator.ws_url,
            rest=simulator.rest_url,
        )
        await simulator.run_until(stop)
