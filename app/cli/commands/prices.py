"""``coinwatch prices``: the stream of prices on the terminal."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from coinwatch import logs
from coinwatch.alerts import price_text
from coinwatch.client import PriceStream, PriceUpdate
from coinwatch.settings import load_settings
from coinwatch.times import to_datetime


def prices(
    currencies: Annotated[
        list[str] | None, typer.Argument(help="What to tell the price in: USD, EUR, USDT. Default: USD")
    ] = None,
    symbol: Annotated[str, typer.Option(help="The asset.")] = "BTC",
    since: Annotated[
        str | None, typer.Option(help="First what is stored from here on: 2026-01-15T12:00, in UTC.")
    ] = None,
    interval: Annotated[int, typer.Option(help="Seconds from one update to the next.")] = 5,
    meta: Annotated[bool, typer.Option("--meta", help="Go on while sources are down, and say so.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many updates.")] = None,
    url: Annotated[
        str | None,
        typer.Option(help="The stream. Default: ws://COINWATCH_HOST:COINWATCH_ALERTS_PORT/prices"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for pipes.")] = False,
) -> None:
    """Follow the price of an asset, averaged over exchanges.

    Example: coinwatch prices USD EUR --symbol ETH --interval 1

    Ctrl-C ends. When the endpoint is away, it waits and goes on where it was.
    """
    settings = load_settings()
    logs.configure("prices", log_format=settings.log_format, level="warning")
    stream = PriceStream(
        url or settings.alerts_url("/prices"),
        currencies or ["USD"],
        symbol=symbol,
        since=None if since is None else _read_moment(since),
        interval_s=interval,
        meta=meta,
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(_follow(stream, symbol.upper(), count, as_json=as_json))


async def _follow(stream: PriceStream, symbol: str, count: int | None, *, as_json: bool) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # we are in one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    console = Console(highlight=False, soft_wrap=True)
    last: dict[str, float] = {}
    told = 0
    with suppress(asyncio.CancelledError):
        async with stream:
            async for update in stream:
                if as_json:
                    print(_as_json(update), flush=True)  # noqa: T201
                else:
                    console.print(_as_text(symbol, update, last.get(update.currency)))
                last[update.currency] = update.price
                told += 1
                if told == count:
                    return


def _read_moment(text: str) -> datetime:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            "--since is a time like 2026-01-15T12:00 or 2026-01-15T12:00+02:00"
        ) from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _as_text(symbol: str, update: PriceUpdate, last: float | None) -> str:
    time = to_datetime(update.ts_us).strftime("%Y-%m-%d %H:%M:%S")
    shown = f"{symbol} {price_text(update.price)} {update.currency}"
    if update.stale:
        return f"[dim]{time} UTC[/dim]  [yellow]{shown}  {update.age_s or 0:g} s old[/yellow]"
    colour = "default" if last is None or last == update.price else "green" if update.price > last else "red"
    made_of = f"  [dim]{', '.join(update.exchanges)}[/dim]" if update.exchanges else ""
    return f"[dim]{time} UTC[/dim]  [bold {colour}]{shown}[/bold {colour}]{made_of}"


def _as_json(update: PriceUpdate) -> str:
    told = {
        "timedate": to_datetime(update.ts_us).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "price": update.price,
        "currency": update.currency,
    }
    if update.pair is None:
        return json.dumps(told)
    meta = {"pair": update.pair, "stale": update.stale, "age_s": update.age_s, "exchanges": update.exchanges}
    return json.dumps(told | meta)
