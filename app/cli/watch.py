"""``coinwatch watch``: a subscriber on the terminal."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from coinwatch import logs
from coinwatch.alerts import Alert, price_text, words
from coinwatch.alerts.reading import read_condition
from coinwatch.client import AlertClient, Watch
from coinwatch.settings import load_settings
from coinwatch.times import to_datetime


def watch(
    symbol: Annotated[str, typer.Argument(help="A pair in any spelling; kraken:BTC-USDT for one exchange.")],
    above: Annotated[float | None, typer.Option(help="Tell when it trades at this price or above.")] = None,
    below: Annotated[float | None, typer.Option(help="Tell when it trades at this price or below.")] = None,
    condition: Annotated[
        str | None,
        typer.Option(help="Any other condition, as JSON: docs/alert-protocol.md lists them."),
    ] = None,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Tell each time that it is met anew, not only the first.")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(help="The alert endpoint. Default: ws://COINWATCH_HOST:COINWATCH_ALERTS_PORT/ws"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for pipes.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End after the first alert.")] = False,
) -> None:
    """Wait for a price, and say so the moment a trade reaches it.

    Examples: coinwatch watch BTC-USDT --above 70000 --below 60000

    coinwatch watch ETH-USDT --condition '{"type":"change","percent":5,"within":"15m"}' --repeat

    Each is told once, unless --repeat; the command ends when all have been told, or with Ctrl-C.
    """
    asked: list[dict[str, Any]] = [
        *([] if above is None else [{"above": above}]),
        *([] if below is None else [{"below": below}]),
        *([] if condition is None else [{"condition": _read_condition(condition)}]),
    ]
    if not asked:
        raise typer.BadParameter("give --above PRICE, --below PRICE or --condition JSON, or several")
    if repeat:
        asked = [{**one, "repeat": "every"} for one in asked]
    settings = load_settings()
    logs.configure("watch", log_format=settings.log_format, level="warning")
    address = url or settings.alerts_url("/ws")
    with suppress(KeyboardInterrupt):
        asyncio.run(_watch(symbol, asked, address, as_json=as_json, ends=not repeat, once=once))


async def _watch(
    symbol: str, asked: list[dict[str, Any]], url: str, *, as_json: bool, ends: bool, once: bool
) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # we are in one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    # What people read goes to stderr when programs read stdout.
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    with suppress(asyncio.CancelledError):
        async with AlertClient(url) as client:
            for one in asked:
                _say_watching(console, await client.watch(symbol, **one))
            console.print("[dim]Ctrl-C ends[/dim]")
            told = 0
            async for alert in client:
                if as_json:
                    print(_as_json(alert), flush=True)  # noqa: T201
                else:
                    console.print(_as_text(alert))
                told += 1
                if once or (ends and told == len(asked)):
                    return


def _read_condition(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
        if isinstance(read, dict):
            return read
    except ValueError:
        pass
    raise typer.BadParameter("""--condition is an object of JSON, like '{"type":"above","price":1.0}'""")


def _say_watching(console: Console, asked: Watch) -> None:
    what = words(read_condition(asked.condition))
    console.print(f"Watching [bold]{escape(asked.symbol)}[/bold] for {escape(what)}")


def _as_text(alert: Alert) -> str:
    time = to_datetime(alert.ts_us).strftime("%H:%M:%S.%f")[:-3]
    flags = "".join(
        f"  [yellow]{name}[/yellow]" for name in ("late", "degraded", "paused") if getattr(alert, name)
    )
    return (
        f"[dim]{time} UTC[/dim]  [bold green]{alert.symbol} {price_text(alert.price)}[/bold green]"
        f"  {escape(alert.message)}{flags}  [dim]event {alert.event_id}[/dim]"
    )


def _as_json(alert: Alert) -> str:
    flags = {name: True for name in ("late", "degraded", "paused") if getattr(alert, name)}
    return json.dumps(
        {
            "event_id": alert.event_id,
            "rule_id": alert.rule_id,
            "symbol": alert.symbol,
            "exchange": alert.exchange,
            "price": alert.price,
            "ts": to_datetime(alert.ts_us).isoformat(),
            "message": alert.message,
            **({} if alert.value is None else {"value": alert.value}),
            **flags,
        }
    )
