"""``coinwatch watch``: create alert rules, or backtest them, on the terminal."""

from __future__ import annotations

import asyncio
import inspect
import json
from contextlib import suppress
from typing import Annotated, Any

import typer
from msgspec import UNSET
from rich.console import Console
from rich.markup import escape

from app.cli.commands import watch_options
from app.cli.demo import command_settings
from app.cli.output import AsJsonLines, Demo, print_json_line
from app.cli.runner.service import cancel_when_signalled
from app.cli.shapes import AlertLine, FiringLine
from coinwatch import logs
from coinwatch.alerts import Alert, price_text
from coinwatch.alerts.condition_parser import read_condition
from coinwatch.client import AlertClient, Previewed, Watch, WouldFire
from coinwatch.times import to_datetime


def watch(
    symbol: Annotated[
        str | None,
        typer.Argument(help="A pair in any spelling; kraken:BTC-USDT for a single exchange."),
    ] = None,
    *,
    condition: Annotated[
        str | None, typer.Option(help="Any condition, as JSON: docs/alert-protocol.md lists them.")
    ] = None,
    together: Annotated[
        bool,
        typer.Option("--together", help="One alert when all conditions are met at once, not one for each."),
    ] = False,
    repeat: Annotated[
        bool,
        typer.Option("--repeat", help="Alert each time the condition is met again, not only the first time."),
    ] = False,
    once_per: Annotated[
        str | None, typer.Option(help="Alert at most once in each candle of this interval.")
    ] = None,
    holds_for: Annotated[
        str | None, typer.Option(help="Alert only after the condition has been met for this long.")
    ] = None,
    confirmed_on: Annotated[
        int | None, typer.Option(help="Alert only when this many exchanges meet the condition at once.")
    ] = None,
    hysteresis: Annotated[
        float | None,
        typer.Option(
            help="How far it must move back before it can fire again: percent of a price, else in the unit "
            "of the condition."
        ),
    ] = None,
    cooldown: Annotated[str | None, typer.Option(help="No alert for this long after an alert.")] = None,
    expires: Annotated[str | None, typer.Option(help="How long to watch, or until when.")] = None,
    quiet: Annotated[
        str | None, typer.Option(help="Hours without alerts: '22:00-07:00', or '22:00-07:00 Europe/Berlin'.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="Text that comes before the message.")] = None,
    template: Annotated[
        str | None,
        typer.Option(help="The message, with {symbol} {exchange} {price} {value} {time} {note} {condition}."),
    ] = None,
    preview: Annotated[
        str | None,
        typer.Option(help="Do not watch: print the alerts of this long until now, such as 24h."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="The alert endpoint. Default: ws://COINWATCH_HOST:COINWATCH_ALERTS_PORT/ws"),
    ] = None,
    demo: Demo = False,
    as_json: AsJsonLines = False,
    once: Annotated[bool, typer.Option("--once", help="Exit after the first alert.")] = False,
    **options: Any,
) -> None:
    """Watch for a price or any other condition, and print an alert when it is met.

    Examples: coinwatch watch BTC-USDT --above 70000 --below 60000

    coinwatch watch ETH-USDT --falls 5 --within 15m --repeat --cooldown 1h

    coinwatch watch USDC-USDT --depeg 0.5 --holds-for 5m --confirmed-on 2

    coinwatch watch kraken:BTC-USDT --new-high 7d --preview 30d

    Each condition fires once, unless --repeat or --once-per is given. The command exits when all have
    fired, or with Ctrl-C.
    """
    if condition is not None:
        options[watch_options.CONDITION] = _json_object(condition)
    wanted = watch_options.conditions(options)
    if not wanted:
        raise typer.BadParameter("give --above PRICE, --below PRICE or another condition")
    if together and len(wanted) > 1:
        wanted = [{"type": "all", "of": wanted}]
    terms = watch_options.terms(
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
    settings = command_settings(demo=demo)
    logs.configure("watch", log_format=settings.log_format, level="warning")
    address = url or settings.alerts_url("/ws")
    with suppress(KeyboardInterrupt):
        if preview is not None:
            asyncio.run(_preview(symbol, wanted, terms, address, since=preview, as_json=as_json))
        else:
            ends = "repeat" not in terms
            asyncio.run(_watch(symbol, wanted, terms, address, as_json=as_json, ends=ends, once=once))


def _signature() -> inspect.Signature:
    """The signature of ``watch`` with the options of all conditions in place of ``**options``."""
    symbol, *others = inspect.signature(watch, eval_str=True).parameters.values()
    return inspect.Signature([symbol, *watch_options.parameters(), *others[:-1]])


watch.__signature__ = _signature()  # type: ignore[attr-defined]  # typer makes the options of it


async def _preview(
    symbol: str | None,
    wanted: list[dict[str, Any]],
    terms: dict[str, Any],
    url: str,
    *,
    since: str,
    as_json: bool,
) -> None:
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    async with AlertClient(url) as client:
        for condition in wanted:
            preview = await client.preview(symbol, since=since, condition=condition, **terms)
            for firing in preview.fired:
                if as_json:
                    print_json_line(_firing_line(preview, firing))
                else:
                    console.print(_firing_as_text(preview, firing))
            console.print(_summary(condition, preview))


async def _watch(
    symbol: str | None,
    wanted: list[dict[str, Any]],
    terms: dict[str, Any],
    url: str,
    *,
    as_json: bool,
    ends: bool,
    once: bool,
) -> None:
    cancel_when_signalled()
    # With --json, stdout is for programs; what people read goes to stderr.
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    with suppress(asyncio.CancelledError):
        async with AlertClient(url) as client:
            for condition in wanted:
                _print_watching(console, await client.watch(symbol, condition=condition, **terms))
            console.print("[dim]Press Ctrl-C to exit[/dim]")
            count = 0
            async for alert in client:
                if as_json:
                    print_json_line(_alert_line(alert))
                else:
                    console.print(_as_text(alert))
                count += 1
                if once or (ends and count == len(wanted)):
                    return


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
        if isinstance(value, dict):
            return value
    except ValueError:
        pass
    raise typer.BadParameter("""--condition is a JSON object, like '{"type":"above","price":1.0}'""")


def _print_watching(console: Console, watched: Watch) -> None:
    phrase = read_condition(watched.condition).phrase()
    where = f"[bold]{escape(watched.symbol)}[/bold] for " if watched.symbol else "for "
    console.print(f"Watching {where}{escape(phrase)}")


def _as_text(alert: Alert) -> str:
    time = to_datetime(alert.ts_us).strftime("%H:%M:%S.%f")[:-3]
    flags = "".join(
        f"  [yellow]{name}[/yellow]" for name in ("late", "degraded", "paused") if getattr(alert, name)
    )
    return (
        f"[dim]{time} UTC[/dim]  [bold green]{alert.symbol} {price_text(alert.price)}[/bold green]"
        f"  {escape(alert.message)}{flags}  [dim]event {alert.event_id}[/dim]"
    )


def _alert_line(alert: Alert) -> AlertLine:
    return AlertLine(
        event_id=alert.event_id,
        rule_id=alert.rule_id,
        symbol=alert.symbol,
        exchange=alert.exchange,
        price=alert.price,
        ts=to_datetime(alert.ts_us).isoformat(),
        message=alert.message,
        value=UNSET if alert.value is None else alert.value,
        late=alert.late or UNSET,
        degraded=alert.degraded or UNSET,
        paused=alert.paused or UNSET,
    )


def _firing_as_text(preview: Previewed, firing: WouldFire) -> str:
    time = to_datetime(firing.ts_us).strftime("%Y-%m-%d %H:%M:%S")
    price = f"[bold green]{preview.symbol} {price_text(firing.price)}[/bold green]"
    return f"[dim]{time} UTC[/dim]  {price}  {escape(firing.message)}"


def _firing_line(preview: Previewed, firing: WouldFire) -> FiringLine:
    return FiringLine(
        symbol=preview.symbol,
        exchange=firing.exchange,
        price=firing.price,
        ts=to_datetime(firing.ts_us).isoformat(),
        message=firing.message,
        value=UNSET if firing.value is None else firing.value,
    )


def _summary(condition: dict[str, Any], preview: Previewed) -> str:
    times = "once" if preview.count == 1 else f"{preview.count:,} times"
    phrase = escape(read_condition(condition).phrase())
    text = f"[dim]{phrase}: {times} since {_minute(preview.since_us)} UTC, {preview.trades:,} trades"
    if preview.count > len(preview.fired):
        text += f"; the first {len(preview.fired)} are shown"
    if preview.paused:
        text += "; the rule would have been paused for firing too often"
    for span in preview.coverage:
        if span.by != "trades":
            basis = "from candles" if span.by == "candles" else "nothing is stored"
            text += f"; {_minute(span.since_us)} to {_minute(span.until_us)}: {basis}"
    return f"{text}[/dim]"


def _minute(ts_us: int) -> str:
    return to_datetime(ts_us).strftime("%Y-%m-%d %H:%M")
