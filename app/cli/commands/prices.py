"""``coinwatch prices``: follows an average price on the terminal."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

import typer

from app.cli.demo import command_settings
from app.cli.output import AsJsonLines, Demo, console, print_json_line
from app.cli.runner.service import cancel_when_signalled
from app.cli.shapes import PriceLine
from coinwatch import logs
from coinwatch.alerts import price_text
from coinwatch.client import PriceStream, PriceUpdate
from coinwatch.times import to_datetime


def prices(
    currencies: Annotated[
        list[str] | None, typer.Argument(help="Quote currencies, such as USD, EUR, USDT. Default: USD")
    ] = None,
    symbol: Annotated[str, typer.Option(help="Base asset.")] = "BTC",
    since: Annotated[
        str | None, typer.Option(help="Start with stored prices from this time: 2026-01-15T12:00, in UTC.")
    ] = None,
    interval: Annotated[int, typer.Option(help="Seconds between updates.")] = 5,
    meta: Annotated[
        bool, typer.Option("--meta", help="Print stale prices too, and the exchanges of each price.")
    ] = False,
    count: Annotated[int | None, typer.Option(min=1, help="Exit after this many updates.")] = None,
    url: Annotated[
        str | None,
        typer.Option(help="URL of the stream. Default: ws://COINWATCH_HOST:COINWATCH_ALERTS_PORT/prices"),
    ] = None,
    demo: Demo = False,
    as_json: AsJsonLines = False,
) -> None:
    """Follow the price of an asset, averaged over exchanges.

    Example: coinwatch prices USD EUR --symbol ETH --interval 1

    Ctrl-C exits. When the endpoint is unreachable, the command reconnects and resumes where it was.
    """
    settings = command_settings(demo=demo)
    logs.configure("prices", log_format=settings.log_format, level="warning")
    stream = PriceStream(
        url or settings.alerts_url("/prices"),
        currencies or ["USD"],
        symbol=symbol,
        since=None if since is None else _parse_time(since),
        interval_s=interval,
        meta=meta,
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(_follow(stream, symbol.upper(), count, as_json=as_json))


async def _follow(stream: PriceStream, symbol: str, count: int | None, *, as_json: bool) -> None:
    cancel_when_signalled()
    terminal = console()
    last: dict[str, float] = {}
    printed = 0
    with suppress(asyncio.CancelledError):
        async with stream:
            async for update in stream:
                if as_json:
                    print_json_line(_line(update))
                else:
                    terminal.print(_text(symbol, update, last.get(update.currency)))
                last[update.currency] = update.price
                printed += 1
                if printed == count:
                    return


def _parse_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            "--since is a time like 2026-01-15T12:00 or 2026-01-15T12:00+02:00"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _text(symbol: str, update: PriceUpdate, last: float | None) -> str:
    time = to_datetime(update.ts_us).strftime("%Y-%m-%d %H:%M:%S")
    price = f"{symbol} {price_text(update.price)} {update.currency}"
    if update.stale:
        return f"[dim]{time} UTC[/dim]  [yellow]{price}  {update.age_s or 0:g} s old[/yellow]"
    colour = "default" if last is None or last == update.price else "green" if update.price > last else "red"
    exchanges = f"  [dim]{', '.join(update.exchanges)}[/dim]" if update.exchanges else ""
    return f"[dim]{time} UTC[/dim]  [bold {colour}]{price}[/bold {colour}]{exchanges}"


def _line(update: PriceUpdate) -> PriceLine:
    timedate = to_datetime(update.ts_us).strftime("%Y-%m-%dT%H:%M:%SZ")
    if update.pair is None:
        return PriceLine(timedate=timedate, price=update.price, currency=update.currency)
    return PriceLine(
        timedate=timedate,
        price=update.price,
        currency=update.currency,
        pair=update.pair,
        stale=update.stale,
        age_s=update.age_s,
        exchanges=list(update.exchanges),
    )
