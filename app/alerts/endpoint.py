"""The websocket endpoint of alerts: its parts, its start and its end."""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
from contextlib import aclosing

import sqlalchemy
import structlog
from psycopg import AsyncConnection
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response

from app.alerts.access.admission import AccessControl, ClientConnection, connections_of
from app.alerts.access.rate_limits import Pace, allow_files
from app.alerts.access.tls import server_context
from app.alerts.catalogue import Catalogue
from app.alerts.connections.fanout import POLL_S, SocketFanout
from app.alerts.connections.http import Pages, Target, read_target
from app.alerts.connections.hub import Hub, Subscriber
from app.alerts.connections.session import Session
from app.alerts.evaluation.evaluator import CHANNELS, Evaluator
from app.alerts.evaluation.heartbeat import BEAT_S, Heartbeat
from app.alerts.evaluation.notify_queue import NotifyQueue
from app.alerts.evaluation.progress import Progress
from app.alerts.metrics import Metrics
from app.alerts.outlets.dispatcher import OutletDispatcher
from app.alerts.price_stream.cache import AverageCache
from app.alerts.price_stream.request import is_for_prices
from app.alerts.price_stream.stream import Prices
from app.alerts.protocol import owned_name
from coinwatch.errors import SettingsError
from coinwatch.health.outage import Outage
from coinwatch.health.problems import Code, Problem
from coinwatch.settings import Settings
from sources.exchanges import EXCHANGES
from warehouse.alerts.rules import ALERTS, connection_key, last_announced
from warehouse.averages.store import AVERAGES
from warehouse.db.connect import database_name
from warehouse.db.database import Database
from warehouse.db.notifications import listen
from warehouse.ops.disks import Disks

MAX_MESSAGE_BYTES = 256 * 1024
"""A frame over the limit of the protocol gets an error reply; one over this closes the connection (1009)."""
FRAMES_AHEAD = 4
"""Frames read from a client before earlier ones are replied to."""
OPEN_TIMEOUT_S = 10.0
PING_S = 20.0
CLOSE_TIMEOUT_S = 3.0

_SMALL_DEFLATE = ServerPerMessageDeflateFactory(
    server_max_window_bits=10,
    client_max_window_bits=10,
    compress_settings={"memLevel": 3},
)
"""Enough for similar frames, with an eighth of the default memory for a connection."""

APPLICATION = "coinwatch alerts"

log = structlog.get_logger(__name__)
_frames = logging.getLogger(f"{__name__}.frames")
# The debug log of websockets contains tokens.
_frames.setLevel(logging.WARNING)


async def serve(settings: Settings, url: sqlalchemy.URL, *, stop: asyncio.Event) -> None:
    """Serve ``/ws``, ``/prices``, ``/healthz`` and ``/metrics`` on the alerts port until ``stop`` is set.

    Raises SettingsError when the port is taken, WarehouseError when Postgres cannot be reached at the
    start. During later outages it retries, and then reads what it missed.
    """
    await _Endpoint(settings, url).run(stop)


class _Endpoint:
    def __init__(self, settings: Settings, url: sqlalchemy.URL) -> None:
        self._settings = settings
        self._url = url
        self._metrics = Metrics()
        self._hub = Hub(self._metrics)
        self._catalogue = Catalogue(settings.markets, EXCHANGES)
        self._progress = Progress()
        self._queue = NotifyQueue()
        self._databases = {
            name: Database(url, f"{APPLICATION} {name}", plans_once=name == "claims")
            for name in (
                *("engine", "claims", "delivery", "beat", "commands", "history"),
                *("prices", "price feed", "outlets"),
            )
        }
        disks = Disks(settings)
        self._outage = Outage(
            database_name(url),
            "commands are refused, and alerts are sent once it stores them",
            full_disk=disks.full,
        )
        self._fanout = SocketFanout(self._databases["delivery"], self._hub, self._outage)
        self._heartbeat = Heartbeat(
            self._databases["beat"],
            self._progress,
            lambda: {**self._detail(), "problems": self._problems()},
            self._outage,
            disks,
        )
        self._evaluator = Evaluator(
            self._databases["engine"],
            self._databases["claims"],
            self._queue,
            self._catalogue,
            self._progress,
            self._fanout,
            self._metrics,
            self._outage,
        )
        self._access = AccessControl(settings, self._metrics)
        self._pages = Pages(self._access, self._metrics, self._problems, self._detail)
        self._average_cache = AverageCache(self._databases["price feed"], self._outage)
        self._prices = Prices(
            self._databases["prices"],
            self._average_cache,
            {market.symbol for market in (*settings.markets, *settings.polled_markets)},
            self._access,
            self._metrics,
            self._outage,
        )
        self._dispatcher = OutletDispatcher(
            self._databases["outlets"],
            self._metrics,
            self._outage,
            allow_private=settings.webhooks_allow_private,
        )
        self._numbers = itertools.count(1)
        for name, text, read in (
            ("connections", "Open connections.", lambda: len(self._hub)),
            ("rules", "Armed rules that are evaluated.", lambda: len(self._evaluator)),
            ("backlog", "Announcements not processed yet.", lambda: len(self._queue)),
            (
                "mark_age_seconds",
                "Since all announcements were processed.",
                lambda: self._progress.age_s,
            ),
        ):
            self._metrics.watch(name, text, read)
        self._metrics.watch_problems(self._problems)

    async def run(self, stop: asyncio.Event) -> None:
        try:
            await self._fanout.start_now()
            async with await self._bind(), asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(work, name=f"alerts {name}")
                    for name, work in {
                        "listen": self._listen(),
                        "engine": self._evaluator.run(),
                        "delivery": self._fanout.run(),
                        "lease": self._heartbeat.run(),
                        "prices": self._average_cache.run(),
                        "outlets": self._dispatcher.run(),
                    }.items()
                ]
                log.info("started", url=self._settings.alerts_url("/ws"))
                self._log_access()
                await stop.wait()
                log.info("stopping", connections=len(self._hub))
                for task in running:
                    task.cancel()
            log.info("stopped")
        finally:
            for database in self._databases.values():
                await database.close()

    async def _bind(self) -> Server:
        host, port = self._settings.alerts_host, self._settings.alerts_port
        tls = server_context(self._settings.alerts_tls_cert, self._settings.alerts_tls_key)
        allow_files(self._settings.alerts_connections)
        try:
            return await serve_websockets(
                self._converse,
                host,
                port,
                process_request=self._answer,
                create_connection=connections_of(self._access),
                ssl=tls,
                compression=None,  # the extension below is used
                extensions=[_SMALL_DEFLATE] if self._settings.alerts_compression else None,
                open_timeout=OPEN_TIMEOUT_S,
                max_size=MAX_MESSAGE_BYTES,
                max_queue=FRAMES_AHEAD,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=CLOSE_TIMEOUT_S,
                server_header="coinwatch",
                logger=_frames,
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise SettingsError(
                    f"COINWATCH_ALERTS_PORT: port {port} on {host} is in use; "
                    "stop what holds it or choose another"
                ) from None
            raise SettingsError(
                f"COINWATCH_HOST, COINWATCH_ALERTS_PORT: cannot listen on {host}:{port}: {error.strerror}"
            ) from None

    def _log_access(self) -> None:
        settings = self._settings
        if self._access.is_guarded:
            return
        if settings.alerts_host != settings.host:
            log.warning(
                "without tokens only this machine may connect: set COINWATCH_ALERTS_TOKENS, "
                "or COINWATCH_ALERTS_OPEN=true where a firewall or proxy guards it",
                host=settings.alerts_host,
            )
        elif settings.alerts_open:
            log.warning("without tokens: any client that can reach the port may connect", host=settings.host)
        else:
            log.info("without tokens: listening on this machine only", host=settings.host)

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, ClientConnection)  # noqa: S101  # made so by the server
        response = self._pages.answer(connection, request)
        if response is None and is_for_prices(request.path):
            return await self._prices.admit(connection, request)
        return response

    async def _converse(self, socket: ServerConnection) -> None:
        assert isinstance(socket, ClientConnection)  # noqa: S101  # made so by the server
        assert socket.request is not None  # noqa: S101  # there is one once a connection is open
        if not await self._is_known(socket):
            return
        if is_for_prices(socket.request.path):
            await self._prices.converse(socket)
            return
        target = read_target(socket.request.path)
        key = connection_key(self._heartbeat.instance, next(self._numbers), socket.owner)
        client = None if target.client is None else owned_name(socket.owner, target.client)
        with self._access.pace_of(socket, client) as pace:
            await self._serve(
                socket, Subscriber(socket, key, client, self._metrics, socket.owner), pace, target
            )

    async def _serve(
        self, socket: ClientConnection, subscriber: Subscriber, pace: Pace, target: Target
    ) -> None:
        session = Session(
            socket,
            subscriber,
            pace,
            self._databases["commands"],
            self._databases["history"],
            self._hub,
            self._catalogue,
            self._metrics,
            self._access,
            self._outage,
            most_watches=self._settings.alerts_watches,
        )
        self._hub.add(subscriber)
        try:
            await session.run(target.after)
        finally:
            self._hub.discard(subscriber)
            if subscriber.client is None:
                await self._heartbeat.connection_ended(subscriber.key)

    async def _is_known(self, socket: ClientConnection) -> bool:
        try:
            return await self._access.recognise(socket)
        except ConnectionClosed:
            return False

    async def _listen(self) -> None:
        async def on_connect(_: AsyncConnection) -> None:
            self._queue.restart()
            self._fanout.wake()
            self._average_cache.wake()

        channels = [*CHANNELS, ALERTS, self._heartbeat.mark_channel]
        async with aclosing(
            listen(self._url, channels, application_name=f"{APPLICATION} listen", on_connect=on_connect)
        ) as notifies:
            async for notify in notifies:
                if notify.channel == ALERTS:
                    self._fanout.announce(last_announced(notify.payload))
                    self._dispatcher.wake()
                else:
                    self._queue.put(notify)
                if notify.channel == AVERAGES:
                    self._average_cache.wake()

    def _problems(self) -> list[Problem]:
        problems = [] if self._outage.problem is None else [self._outage.problem]
        if self._progress.age_s > 10 * BEAT_S:
            problems.append(
                Problem(
                    Code.COMMITS_MISSED, "no announcements from Postgres: commits of trades may be missed"
                )
            )
        if self._fanout.age_s > 3 * POLL_S:
            problems.append(Problem(Code.EVENTS_UNREAD, "alerts cannot be read from Postgres"))
        return problems

    def _detail(self) -> dict[str, object]:
        return {
            "connections": len(self._hub),
            "rules": len(self._evaluator),
            "last_event_id": self._hub.last_event_id,
        }
