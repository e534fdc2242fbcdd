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

from app.cli.commands import watch_options
from coinwatch import logs
from coinwatch.alerts import Alert, price_text, words
from coinwatch.alerts.condition_parser import read_condition
from coinwatch.client import AlertClient, Previewed, Watch, WouldFire
from coinwatch.settings import load_settings
from coinwatch.times import to_datetime


def watch(
    symbol: Annotated[
        str | None, typer.Argument(help="A pair in any spelling; kraken:BTC-USDT for one exchange.")
    ] = None,
    above: Annotated[float | None, typer.Option(help="Tell when it trades at this price or above.")] = None,
    below: Annotated[float | None, typer.Option(help="Tell when it trades at this price or below.")] = None,
    crosses: Annotated[
        float | None, typer.Option(help="Tell when it passes this price; --direction for one way only.")
    ] = None,
    rises: Annotated[
        float | None, typer.Option(help="Tell when it is so many percent above its lowest --within.")
    ] = None,
    falls: Annotated[
        float | None, typer.Option(help="Tell when it is so many percent below its highest --within.")
    ] = None,
    moves: Annotated[float | None, typer.Option(help="Either of these.")] = None,
    new_high: Annotated[
        str | None, typer.Option(help="Tell of the highest price of this long, such as 24h.")
    ] = None,
    new_low: Annotated[str | None, typer.Option(help="Tell of the lowest price of this long.")] = None,
    off_average: Annotated[
        float | None, typer.Option(help="Tell when a market is so many percent off the average of its pair.")
    ] = None,
    spread: Annotated[
        float | None, typer.Option(help="Tell when two exchanges are so many percent apart: --between.")
    ] = None,
    volume: Annotated[
        float | None, typer.Option(help="Tell when so many times the usual is traded --within.")
    ] = None,
    ma_cross: Annotated[
        str | None,
        typer.Option(help="Tell when a moving average crosses a slower one: 50,200 candles of --interval."),
    ] = None,
    rsi_above: Annotated[
        float | None, typer.Option(help="Tell when the RSI of candles of --interval is at this or above.")
    ] = None,
    rsi_below: Annotated[float | None, typer.Option(help="Tell when it is at this or below.")] = None,
    greed_above: Annotated[
        float | None, typer.Option(help="Tell when the Fear & Greed index is at this or above.")
    ] = None,
    fear_below: Annotated[float | None, typer.Option(help="Tell when it is at this or below.")] = None,
    sentiment_above: Annotated[
        float | None, typer.Option(help="Tell when the news of its base asset score this or above, -1 to 1.")
    ] = None,
    sentiment_below: Annotated[float | None, typer.Option(help="Tell when they score this or below.")] = None,
    silent: Annotated[
        str | None, typer.Option(help="Tell when nothing was heard of it for this long.")
    ] = None,
    depeg: Annotated[
        float | None, typer.Option(help="Tell when it is so many percent off 1, for a stablecoin.")
    ] = None,
    job_failed: Annotated[
        str | None,
        typer.Option(help="Tell when this job of the pipelines fails; any: whichever. Needs no pair."),
    ] = None,
    gap: Annotated[
        bool, typer.Option("--gap", help="Tell of an interruption of its stream that is not filled.")
    ] = False,
    condition: Annotated[
        str | None,
        typer.Option(help="Any condition, as JSON: docs/alert-protocol.md lists them."),
    ] = None,
    within: Annotated[
        str | None, typer.Option(help="The window of --rises, --falls, --moves and --volume, such as 15m.")
    ] = None,
    direction: Annotated[
        str | None, typer.Option(help="Of --crosses and --ma-cross: up or down; else either.")
    ] = None,
    between: Annotated[str | None, typer.Option(help="The exchanges of --spread: binance,kraken.")] = None,
    interval: Annotated[
        str | None, typer.Option(help="The candles of --ma-cross and the RSI: 1m, 5m, 15m, 1h, 4h, 1d.")
    ] = None,
    on_close: Annotated[
        str | None, typer.Option(help="Look at the closes of candles of this interval, not at each trade.")
    ] = None,
    on_average: Annotated[
        bool, typer.Option("--on-average", help="Look at the average over the exchanges, not at each trade.")
    ] = False,
    together: Annotated[
        bool, typer.Option("--together", help="One alert when all of these are so at once, not one for each.")
    ] = False,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Tell each time that it is met anew, not only the first.")
    ] = False,
    once_per: Annotated[
        str | None, typer.Option(help="Tell at most once in each candle of this interval.")
    ] = None,
    holds_for: Annotated[str | None, typer.Option(help="Only when it has been so for this long.")] = None,
    confirmed_on: Annotated[
        int | None, typer.Option(help="Only when it is so on this many exchanges at once.")
    ] = None,
    hysteresis: Annotated[
        float | None, typer.Option(help="How far it must come back before it is told again, in percent.")
    ] = None,
    cooldown: Annotated[str | None, typer.Option(help="For this long after an alert, none.")] = None,
    expires: Annotated[str | None, typer.Option(help="How long to watch, or until when.")] = None,
    quiet: Annotated[
        str | None, typer.Option(help="Hours without alerts: '22:00-07:00', or '22:00-07:00 Europe/Berlin'.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="Comes before the message.")] = None,
    template: Annotated[
        str | None,
        typer.Option(help="The message, with {symbol} {exchange} {price} {value} {time} {note} {condition}."),
    ] = None,
    preview: Annotated[
        str | None,
        typer.Option(help="Do not watch: say what it would have told in this long until now, such as 24h."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="The alert endpoint. Default: ws://COINWATCH_HOST:COINWATCH_ALERTS_PORT/ws"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for pipes.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End after the first alert.")] = False,
) -> None:
    """Wait for a price, or for anything else, and say so the moment it happens.

    Examples: coinwatch watch BTC-USDT --above 70000 --below 60000

    coinwatch watch ETH-USDT --falls 5 --within 15m --repeat --cooldown 1h

    coinwatch watch USDC-USDT --depeg 0.5 --holds-for 5m --confirmed-on 2

    coinwatch watch kraken:BTC-USDT --new-high 7d --preview 30d

    Each is told once, unless --repeat or --once-per; the command ends when all have been told, or with
    Ctrl-C.
    """
    asked = watch_options.conditions(
        {
            "above": above,
            "below": below,
            "crosses": crosses,
            "rises": rises,
            "falls": falls,
            "moves": moves,
            "new_high": new_high,
            "new_low": new_low,
            "off_average": off_average,
            "spread": spread,
            "volume": volume,
            "ma_cross": ma_cross,
            "rsi_above": rsi_above,
            "rsi_below": rsi_below,
            "greed_above": greed_above,
            "fear_below": fear_below,
            "sentiment_above": sentiment_above,
            "sentiment_below": sentiment_below,
            "silent": silent,
            "depeg": depeg,
            "job_failed": job_failed,
            "gap": gap,
            "within": within,
            "direction": direction,
            "between": between,
            "interval": interval,
            "on_close": on_close,
            "on_average": on_average,
            "condition": None if condition is None else _read_condition(condition),
        }
    )
    if not asked:
        raise typer.BadParameter("give --above PRICE, --below PRICE or another condition, or several")
    if together and len(asked) > 1:
        asked = [{"type": "all", "of": asked}]
    on = watch_options.terms(
        {
            "repeat": repeat,
            "once_per": once_per,
            "holds_for": holds_for,
            "confirmed_on": confirmed_on,
            "hysteresis": hysteresis,
            "cooldown": cooldown,
            "expires": expires,
            "quiet": quiet,
            "note": note,
            "template": template,
        }
    )
    settings = load_settings()
    logs.configure("watch", log_format=settings.log_format, level="warning")
    address = url or settings.alerts_url("/ws")
    with suppress(KeyboardInterrupt):
        if preview is not None:
            asyncio.run(_preview(symbol, asked, on, address, since=preview, as_json=as_json))
        else:
            ends = "repeat" not in on
            asyncio.run(_watch(symbol, asked, on, address, as_json=as_json, ends=ends, once=once))


async def _preview(
    symbol: str | None,
    asked: list[dict[str, Any]],
    on: dict[str, Any],
    url: str,
    *,
    since: str,
    as_json: bool,
) -> None:
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    async with AlertClient(url) as client:
        for one in asked:
            told = await client.preview(symbol, since=since, condition=one, **on)
            for would in told.fired:
                if as_json:
                    print(_would_as_json(told, would), flush=True)  # noqa: T201
                else:
                    console.print(_would_as_text(told, would))
            console.print(_in_all(one, told))


async def _watch(
    symbol: str | None,
    asked: list[dict[str, Any]],
    on: dict[str, Any],
    url: str,
    *,
    as_json: bool,
    ends: bool,
    once: bool,
) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # we are in one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    # What people read goes to stderr when programs read stdout.
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    with suppress(asyncio.CancelledError):
        async with AlertClient(url) as client:
            for one in asked:
                _say_watching(console, await client.watch(symbol, condition=one, **on))
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
    where = f"[bold]{escape(asked.symbol)}[/bold] for " if asked.symbol else "for "
    console.print(f"Watching {where}{escape(what)}")


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


def _would_as_text(told: Previewed, would: WouldFire) -> str:
    time = to_datetime(would.ts_us).strftime("%Y-%m-%d %H:%M:%S")
    price = f"[bold green]{told.symbol} {price_text(would.price)}[/bold green]"
    return f"[dim]{time} UTC[/dim]  {price}  {escape(would.message)}"


def _would_as_json(told: Previewed, would: WouldFire) -> str:
    return json.dumps(
        {
            "symbol": told.symbol,
            "exchange": would.exchange,
            "price": would.price,
            "ts": to_datetime(would.ts_us).isoformat(),
            "message": would.message,
            **({} if would.value is None else {"value": would.value}),
        }
    )


def _in_all(asked: dict[str, Any], told: Previewed) -> str:
    since = to_datetime(told.since_us).strftime("%Y-%m-%d %H:%M")
    times = "once" if told.count == 1 else f"{told.count:,} times"
    said = f"[dim]{escape(words(read_condition(asked)))}: {times} since {since} UTC, {told.trades:,} trades"
    if told.count > len(told.fired):
        said += f"; the first {len(told.fired)} are shown"
    if told.paused:
        said += "; it would have been paused for firing too often"
    return f"{said}{'' if told.complete else '; there was more than can be looked at'}[/dim]"
