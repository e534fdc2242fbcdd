"""A connection to the alert endpoint that reconnects by itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlencode

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from coinwatch.alerts import Above, Alert, Below, Condition
from coinwatch.alerts.condition_parser import fields_of
from coinwatch.client.answers import Previewed, WatchedRule, read_previewed, read_rule
from coinwatch.client.frames import Reply, read_frame
from coinwatch.client.opening import Opener, raise_if_rejected
from coinwatch.errors import CommandRefused, EndpointUnreachable

REPLY_TIMEOUT_S = 15.0
PREVIEW_TIMEOUT_S = 180.0
"""A backtest over a month of a busy pair takes long."""
MAX_WAITING = 1_000
"""Alerts queued for the caller; with more, the socket is not read."""

log = logging.getLogger(__name__)


class Watch(msgspec.Struct):
    """A watch of this client. Its ``rule_id`` changes when an unnamed client reconnects."""

    symbol: str | None
    """None: on no market."""
    condition: Mapping[str, Any]
    """JSON, as in docs/alert-protocol.md."""
    terms: Mapping[str, Any] = {}
    """How it fires: ``repeat``, ``cooldown`` and so on."""
    note: str | None = None
    rule_id: int | None = None

    @property
    def ends_when_fired(self) -> bool:
        return bool(self.terms.get("repeat", "once") == "once")


class AlertClient:
    """Iterate over it for alerts. Use it as a context manager; it reconnects for as long as it is open.

    With a ``name`` the watches stay while the client is away, and every alert is received: also those fired
    since event ``after`` (0: all that are kept; None: from now on). Without a name, watches that have not
    ended are made again on each connection, and alerts in between are lost.
    """

    def __init__(self, url: str, *, name: str | None = None, after: int | None = None) -> None:
        self._url = url
        self._opener = Opener()
        self._name = name
        self._after = after
        self._ids = itertools.count(1)
        self._pending: dict[int, tuple[asyncio.Future[Reply], Watch | None]] = {}
        self._watches: dict[int, Watch] = {}
        self._alerts: asyncio.Queue[Alert | Exception] = asyncio.Queue(MAX_WAITING)
        self._socket: ClientConnection | None = None
        self._ready = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._failed: Exception | None = None

    @property
    def last_event_id(self) -> int | None:
        """The value of ``after`` for the next client; None before the first connection."""
        return self._after

    @property
    def watches(self) -> list[Watch]:
        """The watches made by this client that have not ended."""
        return list(self._watches.values())

    async def __aenter__(self) -> Self:
        """Connect. Raises EndpointUnreachable if that fails, CommandRefused if the client is rejected."""
        self._running = asyncio.create_task(self._run(await self._opener.open(self._address())))
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                await self._until_ready()
        except BaseException as error:
            await _end(self._running)
            if isinstance(error, TimeoutError):
                raise EndpointUnreachable(f"{self._url} does not answer") from None
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._running is not None:
            await _end(self._running)

    async def watch(
        self,
        symbol: str | None = None,
        *,
        above: float | None = None,
        below: float | None = None,
        condition: Condition | Mapping[str, Any] | None = None,
        note: str | None = None,
        **terms: Any,
    ) -> Watch:
        """Receive an alert when ``symbol`` trades at this price or beyond, or meets ``condition``.

        The symbol can have any spelling. Conditions on no market, such as a failed job, need none.

        Give one of ``above``, ``below`` and ``condition``: one of ``coinwatch.alerts``, or its JSON.
        ``terms`` are those of the protocol, such as ``repeat="every"`` and ``cooldown="15m"``; without
        any it fires once. Raises CommandRefused, or EndpointUnreachable without a connection.
        """
        watch = Watch(symbol, _fields(above, below, condition), terms, note)
        await self._ask(_command(watch), watch)
        return watch

    async def preview(
        self,
        symbol: str | None = None,
        *,
        since: str | datetime,
        until: datetime | None = None,
        above: float | None = None,
        below: float | None = None,
        condition: Condition | Mapping[str, Any] | None = None,
        note: str | None = None,
        **terms: Any,
    ) -> Previewed:
        """Backtest such a ``watch`` ``since`` a time, or for a length of time such as ``24h``.

        ``until`` is now by default. At most 31 days. Raises as ``watch``.
        """
        watch = Watch(symbol, _fields(above, below, condition), terms, note)
        span = {"since": _time_text(since), **({} if until is None else {"until": _time_text(until)})}
        asked = {**_command(watch), "cmd": "preview", **span}
        return read_previewed((await self._ask(asked, timeout_s=PREVIEW_TIMEOUT_S)).fields)

    async def snooze(
        self, rule_id: int, for_: str | int | None = None, *, until: datetime | None = None
    ) -> WatchedRule:
        """Snooze a watch for a length of time, such as ``1h``, or until a time. Raises as ``watch``."""
        if (for_ is None) == (until is None):
            raise ValueError("give one of for_ and until")
        span = {"for": for_} if until is None else {"until": _time_text(until)}
        return read_rule((await self._ask({"cmd": "snooze", "rule_id": rule_id, **span})).fields)

    async def resume(self, rule_id: int) -> WatchedRule:
        """End a snooze, or a pause for firing too often. Raises as ``watch``."""
        return read_rule((await self._ask({"cmd": "resume", "rule_id": rule_id})).fields)

    async def unwatch(self, rule_id: int) -> None:
        """Stop a watch, also one made on another connection by the same name. Raises as ``watch``."""
        await self._ask({"cmd": "unwatch", "rule_id": rule_id})
        self._watches.pop(rule_id, None)

    async def rules(self) -> list[WatchedRule]:
        """The rules of this client that have not ended. Raises as ``watch``."""
        return [read_rule(fields) for fields in (await self._ask({"cmd": "list"})).fields["rules"]]

    async def __aiter__(self) -> AsyncGenerator[Alert, None]:
        while True:
            alert = await self._alerts.get()
            if isinstance(alert, Exception):
                raise alert
            yield alert

    async def _ask(
        self, command: dict[str, Any], watch: Watch | None = None, *, timeout_s: float = REPLY_TIMEOUT_S
    ) -> Reply:
        try:
            async with asyncio.timeout(timeout_s):
                await self._until_ready()
                return await self._send(command, watch)
        except TimeoutError:
            raise EndpointUnreachable(f"{self._url} did not answer within {timeout_s:g} s") from None

    async def _until_ready(self) -> None:
        await self._ready.wait()
        if self._failed is not None:
            raise self._failed

    async def _send(self, command: dict[str, Any], watch: Watch | None = None) -> Reply:
        """Send a command; if it was refused as too early, send it again when the reply allows."""
        while True:
            answer = await self._send_once(command, watch)
            if answer.error is None:
                return answer
            wait_s = answer.fields.get("retry_after_s")
            if answer.error.code != "too_many_commands" or not isinstance(wait_s, int | float):
                raise answer.error
            await asyncio.sleep(wait_s)

    async def _send_once(self, command: dict[str, Any], watch: Watch | None) -> Reply:
        if self._socket is None:
            raise EndpointUnreachable(f"{self._url}: not connected")
        command_id = next(self._ids)
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[command_id] = reply, watch
        try:
            await self._socket.send(json.dumps({**command, "id": command_id}))
            return await reply
        except ConnectionClosed:
            raise EndpointUnreachable(f"{self._url}: the connection was lost") from None
        finally:
            self._pending.pop(command_id, None)

    async def _run(self, socket: ClientConnection) -> None:
        try:
            while True:
                await self._converse(socket)
                socket = await self._opener.open_again(self._address)
        except Exception as error:  # a retry would not help: raise it where the caller waits
            self._failed = error
            self._ready.set()
            await self._alerts.put(error)

    def _address(self) -> str:
        if self._name is None:
            return self._url
        query = {"client": self._name, "after": self._after}
        return f"{self._url}?{urlencode({key: value for key, value in query.items() if value is not None})}"

    async def _converse(self, socket: ClientConnection) -> None:
        """Read until the connection ends, and restore the watches meanwhile."""
        self._socket = socket
        restoring = asyncio.create_task(self._restore())
        try:
            with suppress(ConnectionClosed):
                async for frame in socket:
                    await self._receive(frame)
            raise_if_rejected(socket)
            log.warning("connection to %s lost (%s); reconnecting", self._url, socket.close_code)
        finally:
            self._socket = None
            self._ready.clear()
            for reply, _ in self._pending.values():
                if not reply.done():
                    reply.set_exception(EndpointUnreachable(f"{self._url}: the connection was lost"))
            await _end(restoring)
            await socket.close()

    async def _restore(self) -> None:
        """Get the number of the last event; make the watches of an unnamed client again."""
        with suppress(EndpointUnreachable):
            newest: int = (await self._send({"cmd": "ping"})).fields["last_event_id"]
            self._after = max(self._after or 0, newest)
            if self._name is None:
                watches, self._watches = self.watches, {}
                for watch in watches:
                    try:
                        await self._send(_command(watch), watch)
                    except CommandRefused as error:
                        log.warning("no longer watching %s: %s", watch.symbol, error)
            self._ready.set()

    async def _receive(self, frame: str | bytes) -> None:
        received = read_frame(frame)
        if isinstance(received, Reply):
            self._take_reply(received)
        elif isinstance(received, Alert) and (self._after is None or received.event_id > self._after):
            self._after = received.event_id
            watch = self._watches.get(received.rule_id)
            if watch is not None and watch.ends_when_fired:
                del self._watches[received.rule_id]
            await self._alerts.put(received)

    def _take_reply(self, reply: Reply) -> None:
        if reply.id is None or reply.id not in self._pending:
            if reply.error is not None:
                log.warning("%s: %s", self._url, reply.error)
            return
        waiting, watch = self._pending[reply.id]
        if watch is not None and reply.error is None:
            # Here and not where it is awaited: the alert may be the very next frame.
            watch.rule_id = reply.fields["rule_id"]
            self._watches[reply.fields["rule_id"]] = watch
        if not waiting.done():
            waiting.set_result(reply)


def _command(watch: Watch) -> dict[str, Any]:
    fields = {"symbol": watch.symbol, "condition": watch.condition, "note": watch.note}
    return {"cmd": "watch", **fields, **watch.terms}


def _fields(
    above: float | None, below: float | None, condition: Condition | Mapping[str, Any] | None
) -> Mapping[str, Any]:
    if sum(given is not None for given in (above, below, condition)) != 1:
        raise ValueError("give one of above, below and condition")
    if above is not None:
        condition = Above(price=above)
    elif below is not None:
        condition = Below(price=below)
    assert condition is not None  # noqa: S101  # one of the three was given
    return condition if isinstance(condition, Mapping) else fields_of(condition)


def _time_text(moment: str | datetime) -> str:
    """A time as the protocol expects it. A datetime without a zone is in local time."""
    return moment if isinstance(moment, str) else moment.astimezone().isoformat()


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
