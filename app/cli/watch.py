"""``coinwatch watch``: a subscriber on the terminal."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from coinwatch import logs
from coinwatch.alerts import Alert, Direction, price_text
from coinwatch.client import AlertClient, Watch
from coinwatch.settings import load_settings
from coinwatch.times import to_datetime


def watch(
    symbol: Annotated[str, typer.Argument(help="A pair in any spelling; kraken:BTC-USDT for one exchange.")],
    above: Annotated[float | None, typer.Option(help="Tell when it trades at this price or above.")] = None,
    below: Annotated[float | None, typer.Option(help="Tell when it trades at this price or below.")] = None,
    url: Annotated[
        str | None,
        typer.Option(help="The alert endpoint. Default: ws://COINWATCH_HOST:COINWATCH_ALERTS_PORT/ws"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for pipes.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End after the first alert.")] = False,
) -> None:
    """Wait for a price, and say so the moment a trade reaches it.

    Example: coinwatch watch BTC-USDT --above 70000 --below 60000

    Each price is told once; the command ends when all have been told, or with Ctrl-C.
    """
    if above is None and below is None:
        raise typer.BadParameter("give --above PRICE, --below PRICE or both")
    settings = load_settings()
    logs.configure("watch", log_format=settings.log_format, level="warning")
    address = url or f"ws://{settings.host}:{settings.alerts_port}/ws"
    with suppress(KeyboardInterrupt):
        asyncio.run(_watch(symbol, above, below, address, as_json=as_json, once=once))


async def _watch(
    symbol: str, above: float | None, below: float | None, url: str, *, as_json: bool, once: bool
) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # we are in one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    # What people read goes to stderr when programs read stdout.
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    with suppress(asyncio.CancelledError):
        async with AlertClient(url) as client:
            asked: list[Watch] = []
            if above is not None:
                asked.append(await client.watch(symbol, above=above))
            if below is not None:
                asked.append(await client.watch(symbol, below=below))
            for one in asked:
                _say_watching(console, one)
            console.print("[dim]Ctrl-C ends[/dim]")
            told = 0
            async for alert in client:
                if as_json:
                    print(_as_json(alert), flush=True)  # noqa: T201
                else:
                    console.print(_as_text(alert))
                told += 1
                if once or told == len(asked):
                    return


def _say_watching(console: Console, asked: Watch) -> None:
    side = "at or above" if asked.type is Direction.ABOVE else "at or below"
    console.print(f"Watching [bold]{escape(asked.symbol)}[/bold] for {side} {price_text(asked.price)}")


def _as_text(alert: Alert) -> str:
    time = to_datetime(alert.ts_us).strftime("%H:%M:%S.%f")[:-3]
    return (
        f"[dim]{time} UTC[/dim]  [bold green]{alert.symbol} {price_text(alert.price)}[/bold green]"
        f"  {escape(alert.message)}  [dim]event {alert.event_id}[/dim]"
    )


def _as_json(alert: Alert) -> str:
    return json.dumps(
        {
            "event_id": alert.event_id,
            "rule_id": alert.rule_id,
            "symbol": alert.symbol,
            "exchange": alert.exchange,
            "price": alert.price,
            "ts": to_datetime(alert.ts_us).isoformat(),
            "message": alert.message,
        }
    )
