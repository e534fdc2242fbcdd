"""The session of a subscriber: resume, commands and their replies."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from psycopg import AsyncConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from app.alerts import protocol, replies
from app.alerts.access.admission import AccessControl, ClientConnection, end_flood
from app.alerts.access.rate_limits import Pace
from app.alerts.catalogue import Catalogue
from app.alerts.connections.hub import Hub, Subscriber
from app.alerts.evaluation.backtest import NoHistory, preview
from app.alerts.metrics import Metrics
from app.alerts.protocol import (
    Auth,
    Command,
    ListRules,
    Ping,
    Preview,
    Refused,
    Resume,
    Snooze,
    Unwatch,
    Watch,
)
from coinwatch.alerts import NO_MARKET, NewRule, Repeat, moment_text, needs_no_market
from coinwatch.errors import UnknownSymbol, UnreadableRule, WarehouseError
from coinwatch.health.outage import Outage
from coinwatch.records import Symbol
from warehouse.alerts.rules import (
    add_rule,
    armed_count_of_client,
    armed_count_of_owner,
    armed_ids_of_client,
    armed_rules_of,
    events_of_client,
    last_event_id,
    remove_rule,
    resume_rule,
    snooze_rule,
    subscriber_seen,
)
from warehouse.db.database import Database
from warehouse.markets import known_markets

MOST_FIRINGS = 500
"""So many firings of a preview are returned; all are counted."""
CATALOGUE_FRESH_S = 2.0
"""How often, at most, an unknown symbol makes the session read the table of markets again."""

log = structlog.get_logger(__name__)


class Session:
    """Serves a connection until it ends."""

    def __init__(
        self,
        socket: ClientConnection,
        subscriber: Subscriber,
        pace: Pace,
        database: Database,
        history: Database,
        hub: Hub,
        catalogue: Catalogue,
        metrics: Metrics,
        access: AccessControl,
        outage: Outage,
        *,
        most_watches: int,
    ) -> None:
        self._socket = socket
        self._subscriber = subscriber
        self._pace = pace
        self._database = database
        self._history = history
        self._hub = hub
        self._catalogue = catalogue
        self._metrics = metrics
        self._access = access
        self._outage = outage
        self._most_watches = most_watches

    async def run(self, after: int | None) -> None:
        """``after``: first send the events of the named client above this number; None: only new ones."""
        sending = asyncio.create_task(self._subscriber.run())
        try:
            await self._greet(after)
            async for frame in self._socket:
                # Frames that were read before the connection ended are dropped.
                if self._subscriber.has_ended or self._socket.close_code == CloseCode.ABNORMAL_CLOSURE:
                    break
                await self._reply(frame)
                if self._pace.is_flood:
                    await end_flood(self._socket, self._metrics)
        except ConnectionClosed:
            pass
        except WarehouseError as error:
            self._outage.observe(error)
            await self._socket.close(
                CloseCode.TRY_AGAIN_LATER, "the warehouse is unavailable; reconnect soon"
            )
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _greet(self, after: int | None) -> None:
        subscriber = self._subscriber
        if subscriber.client is not None:
            async with self._database.use() as conn:
                await subscriber_seen(conn, subscriber.client)
                mine = await armed_ids_of_client(conn, subscriber.client)
                newest = await last_event_id(conn)
            for rule_id, is_once in mine.items():
                subscriber.watch(rule_id, is_once=is_once)
            if after is not None and after > newest:
                await subscriber.send(_unknown_event(after, newest))
                after = newest
            if after is not None:
                await self._replay(subscriber.client, after)
        subscriber.live = True

    async def _replay(self, client: str, after: int) -> None:
        """Send stored events above ``after``, up to the first live one."""
        self._subscriber.sent_through = after
        while self._subscriber.sent_through < (through := self._hub.last_event_id):
            async with self._database.use() as conn:
                alerts = await events_of_client(conn, client, self._subscriber.sent_through, through)
            for alert in alerts:
                await self._subscriber.send(replies.alert(alert))
                self._metrics.delivered.inc()
            self._subscriber.sent_through = alerts[-1].event_id if alerts else through

    async def _reply(self, frame: str | bytes) -> None:
        command = protocol.parse(frame)
        # The reply to a watch is sent before its first alert, which may be ready earlier.
        with self._subscriber.holding():
            wait_s = self._pace.take()
            if wait_s:
                answer: str | Refused = self._too_many(command, wait_s)
            else:
                answer = command if isinstance(command, Refused) else await self._answer(command)
            self._metrics.answers.labels(answer.code if isinstance(answer, Refused) else "ack").inc()
            await self._subscriber.send(replies.error(answer) if isinstance(answer, Refused) else answer)

    def _too_many(self, command: Command | Refused, wait_s: float) -> Refused:
        wait_s = math.ceil(wait_s * 1_000) / 1_000
        return Refused(
            "too_many_commands",
            "too many commands; this command was not run",
            f"retry in {wait_s:g} s; clients that keep sending are disconnected",
            command.id,
            retry_after_s=wait_s,
        )

    async def _answer(self, command: Command) -> str | Refused:
        handlers: dict[type, Callable[[Any], Coroutine[Any, Any, str | Refused]]] = {
            Watch: self._watch,
            Unwatch: self._unwatch,
            Snooze: self._snooze,
            Resume: self._resume,
            Preview: self._preview,
            ListRules: self._list,
            Ping: self._ping,
            Auth: self._auth,
        }
        try:
            return await handlers[type(command)](command)
        except UnreadableRule as error:
            return Refused("unreadable_rule", str(error), error.hint, command.id)
        except WarehouseError as error:
            self._outage.observe(error)
            return Refused(
                "try_again",
                f"{error.state}, so this command was not run",
                "retry in a few seconds; this connection stays open",
                command.id,
            )

    async def _watch(self, command: Watch) -> str | Refused:
        subscriber = self._subscriber
        resolved = await self._find(command)
        if isinstance(resolved, Refused):
            return resolved
        exchange, symbol = resolved
        # Counted and added on one connection to Postgres: parallel commands cannot exceed the limit.
        async with self._database.use() as conn:
            if (count := await self._count_watches(conn)) >= self._most_watches:
                return Refused(
                    "too_many_watches",
                    f"this client has {count} watches",
                    f"at most {self._most_watches}: unwatch some first",
                    command.id,
                )
            rule = await add_rule(
                conn,
                NewRule(
                    symbol=symbol,
                    exchange=exchange,
                    condition=command.condition,
                    terms=command.terms,
                    typed=command.typed,
                    note=command.note,
                    client=subscriber.client,
                    connection=None if subscriber.client is not None else subscriber.key,
                ),
            )
        subscriber.watch(rule.id, is_once=rule.terms.repeat is Repeat.ONCE)
        return replies.ack(command.id, "watch", **replies.rule_fields(rule))

    async def _count_watches(self, conn: AsyncConnection) -> int:
        # Other connections of its owner or name may have watches, here or at another endpoint.
        subscriber = self._subscriber
        if subscriber.owner is not None:
            return await armed_count_of_owner(conn, subscriber.owner)
        if subscriber.client is not None:
            return await armed_count_of_client(conn, subscriber.client)
        return len(subscriber.watches)

    async def _unwatch(self, command: Unwatch) -> str | Refused:
        async with self._database.use() as conn:
            removed = await remove_rule(conn, command.rule_id, **self._owner())
        if not removed:
            return _unknown_rule(command)
        self._subscriber.watches.discard(command.rule_id)
        return replies.ack(command.id, "unwatch", rule_id=command.rule_id)

    async def _snooze(self, command: Snooze) -> str | Refused:
        async with self._database.use() as conn:
            rule = await snooze_rule(conn, command.rule_id, command.until_us, **self._owner())
        if rule is None:
            return _unknown_rule(command)
        return replies.ack(command.id, "snooze", **replies.rule_fields(rule))

    async def _resume(self, command: Resume) -> str | Refused:
        async with self._database.use() as conn:
            rule = await resume_rule(conn, command.rule_id, **self._owner())
        if rule is None:
            return _unknown_rule(command)
        return replies.ack(command.id, "resume", **replies.rule_fields(rule))

    async def _preview(self, command: Preview) -> str | Refused:
        watch = command.watch
        resolved = await self._find(watch)
        if isinstance(resolved, Refused):
            return resolved
        exchange, symbol = resolved
        rule = NewRule(
            symbol=symbol,
            exchange=exchange,
            condition=watch.condition,
            terms=watch.terms,
            typed=watch.typed,
            note=watch.note,
        )
        try:
            async with self._history.use() as conn:
                result = await preview(conn, rule, command.window)
        except NoHistory as error:
            return Refused("bad_condition", str(error), "a condition on prices or candles", command.id)
        return replies.ack(
            command.id,
            "preview",
            symbol=str(symbol),
            exchange=exchange,
            since=moment_text(result.window.start_us),
            until=moment_text(result.window.end_us),
            trades=result.trades,
            coverage=[replies.coverage_fields(span.window, span.by) for span in result.coverage],
            complete=result.is_complete,
            paused=result.paused,
            count=len(result.firings),
            fired=[replies.firing_fields(firing) for firing in result.firings[:MOST_FIRINGS]],
        )

    async def _find(self, command: Watch) -> tuple[str | None, Symbol] | Refused:
        if command.typed == str(NO_MARKET) and needs_no_market(command.condition):
            return None, NO_MARKET
        try:
            return await self._resolve(command.typed)
        except UnknownSymbol as error:
            return Refused(
                "unknown_symbol",
                str(error),
                "a pair that is collected or listed, such as BTC-USDT, or a market, such as "
                "binance:BTC-USDT, which is streamed while it is watched",
                command.id,
            )

    async def _list(self, command: ListRules) -> str:
        async with self._database.use() as conn:
            stored = await armed_rules_of(conn, **self._owner())
        fields: dict[str, Any] = {"rules": [replies.rule_fields(rule) for rule in stored.rules]}
        if stored.unreadable:
            fields["unreadable"] = [replies.unreadable_fields(rule) for rule in stored.unreadable]
        return replies.ack(command.id, "list", **fields)

    async def _ping(self, command: Ping) -> str:
        return replies.ack(command.id, "ping", pong=True, last_event_id=self._hub.last_event_id)

    async def _auth(self, command: Auth) -> str | Refused:
        return self._access.sign_in(self._socket, command)

    async def _resolve(self, typed: str) -> tuple[str | None, Symbol]:
        try:
            return self._catalogue.resolve(typed)
        except UnknownSymbol:
            if self._catalogue.age_s < CATALOGUE_FRESH_S:
                raise
        async with self._database.use() as conn:
            self._catalogue.update(await known_markets(conn))
        return self._catalogue.resolve(typed)

    def _owner(self) -> dict[str, str | None]:
        client = self._subscriber.client
        return {"client": client, "connection": self._subscriber.key if client is None else None}


def _unknown_rule(command: Unwatch | Snooze | Resume) -> Refused:
    return Refused(
        "unknown_rule",
        f"you have no rule {command.rule_id}",
        'the rule_id in the reply to watch; {"cmd":"list"} lists yours',
        command.id,
    )


def _unknown_event(after: int, newest: int) -> str:
    return replies.error(
        Refused(
            "unknown_event",
            f"there is no event {after} yet: the newest is {newest}",
            "use the event_id of the last alert received; new alerts are sent",
        )
    )
