"""Access of websocket clients: origins of browsers, tokens, and limits on connections."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from typing import Any, ClassVar

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event

from app.alerts import protocol, replies
from app.alerts.access.rate_limits import BURST_S, ConnectionLimiter, Pace, Paces, address_key
from app.alerts.access.refusals import refusal_response
from app.alerts.metrics import Metrics
from app.alerts.protocol import Auth, Refused
from coinwatch.settings import Settings
from coinwatch.tokens import token_hash

AUTH_TIMEOUT_S = 10.0
"""How long a connection may be open before it authenticates."""
RETRY_AFTER_S = 5
PORTION_BYTES = 4_096
MOST_AT_ONCE_BYTES = 2 * 1024 * 1024
"""The most that one read of a socket may decompress to."""
FRAMES_AT_ONCE = 1_000
"""A read of a socket with more frames is a flood, unless the pace allows as many commands at once: even empty
frames take a few microseconds each."""
MOST_PARTS = 1_000
"""Of a message; parts may be empty."""
MOST_UNSENT_BYTES = 1024 * 1024
"""The most data that may wait for a client that does not read, such as pongs."""

NO_TOKEN = "authentication is required"  # noqa: S105  # a message
_HOW = 'a header Authorization: Bearer TOKEN, or the first frame {"cmd":"auth","token":"…"}'


class AccessControl:
    """The access rules of an endpoint, and the limits that its connections share."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.metrics = metrics
        self.limiter = ConnectionLimiter(settings.alerts_connections, settings.alerts_connections_per_address)
        self.commands_per_s = settings.alerts_commands_per_s
        self.frames_at_once = max(FRAMES_AT_ONCE, round(BURST_S * self.commands_per_s))
        self._paces = Paces(settings.alerts_commands_per_s)
        self._owners = settings.alerts_tokens
        self._origins = frozenset(settings.alerts_origins)

    @property
    def is_guarded(self) -> bool:
        """Whether clients need a token."""
        return bool(self._owners)

    def owner_of(self, token: str) -> str | None:
        """The owner of a token; None if it is unknown. Takes equally long for every token."""
        hashed, match = token_hash(token), None
        for owner, known in self._owners:
            if hmac.compare_digest(hashed, known):
                match = owner
        return match

    def pace_of(self, socket: ClientConnection, client: str | None) -> AbstractContextManager[Pace]:
        """The pace of the commands of a connection, shared by all of its owner, or else of its name."""
        sharing = socket.owner or client
        return nullcontext(socket.pace) if sharing is None else self._paces.of(sharing)

    def answer(self, connection: ClientConnection, request: Request) -> Response | None:
        """The refusal of a websocket; None if it may open. Sets the owner of the connection."""
        if connection.excess_reason is not None:
            response = self._refuse(
                connection,
                HTTPStatus.SERVICE_UNAVAILABLE,
                Refused(
                    "too_many_connections",
                    connection.excess_reason,
                    "close connections, or connect again later",
                ),
            )
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
            return response
        origins = request.headers.get_all("Origin")
        if any(origin not in self._origins for origin in origins):
            return self._refuse(
                connection,
                HTTPStatus.FORBIDDEN,
                Refused(
                    "bad_origin",
                    f"pages of {origins[0][:100]} may not connect",
                    "COINWATCH_ALERTS_ORIGINS at the endpoint lists those that may",
                ),
            )
        return self.answer_unknown(connection, request, header_needed=False)

    def answer_unknown(
        self, connection: ClientConnection, request: Request, *, header_needed: bool
    ) -> Response | None:
        """The refusal of a wrong token, or of a missing header where one is needed."""
        if not self.is_guarded:
            return None
        given = request.headers.get_all("Authorization")
        if not given and not header_needed:
            return None
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() == "bearer":
            connection.owner = self.owner_of(token.strip())
        if connection.owner is not None:
            return None
        message = "unknown token" if given else NO_TOKEN
        hint = "Authorization: Bearer TOKEN, with a token whose hash the endpoint has"
        response = self._refuse(connection, HTTPStatus.UNAUTHORIZED, Refused("unauthorized", message, hint))
        response.headers["WWW-Authenticate"] = 'Bearer realm="coinwatch"'
        return response

    async def recognise(self, socket: ClientConnection) -> bool:
        """Whether a connection is authenticated, at the latest by its first frame; else it is closed.

        Raises ConnectionClosed.
        """
        if not self.is_guarded or socket.owner is not None:
            return True
        try:
            async with asyncio.timeout(AUTH_TIMEOUT_S):
                command = protocol.parse(await socket.recv())
        except TimeoutError:
            self.metrics.turned_away.labels("unauthorized").inc()
            await socket.close(CloseCode.POLICY_VIOLATION, f"no token within {AUTH_TIMEOUT_S:g} s")
            return False
        answer = self.sign_in(socket, command) if isinstance(command, Auth) else _unauthenticated(command)
        if isinstance(answer, str):
            await socket.send(answer)
            return True
        self.metrics.turned_away.labels(answer.code).inc()
        await socket.send(replies.error(answer))
        await socket.close(CloseCode.POLICY_VIOLATION, "unauthorized")
        return False

    def sign_in(self, socket: ClientConnection, command: Auth) -> str | Refused:
        """The reply to a token in a frame. The owner of a connection cannot change."""
        owner = self.owner_of(command.token)
        if self.is_guarded and (owner is None or socket.owner not in (None, owner)):
            message = "unknown token" if owner is None else "this connection belongs to another owner"
            return Refused("unauthorized", message, "open a new connection with your token", command.id)
        socket.owner = owner
        return replies.ack(command.id, "auth", owner=owner)

    def _refuse(self, connection: ClientConnection, status: HTTPStatus, refused: Refused) -> Response:
        self.metrics.turned_away.labels(refused.code).inc()
        return refusal_response(connection, status, refused)


class ClientConnection(ServerConnection):
    """A connection that is counted, and cut off if it floods the endpoint with frames or compressed data."""

    access: ClassVar[AccessControl]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.owner: str | None = None
        """The owner of its token."""
        self.excess_reason: str | None = None
        """Why the connection exceeds a limit; None if it does not."""
        self.pace = Pace(self.access.commands_per_s)
        """Of pings, pongs and parts of messages, and of the commands of unnamed clients."""
        self._address: str | None = None
        self._at_once_bytes = 0
        self._at_once_frames = 0
        self._parts = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer: Sequence[Any] = transport.get_extra_info("peername") or ("",)
        self._address = address_key(str(peer[0]))
        self.excess_reason = self.access.limiter.enter(self._address)
        if self.excess_reason is not None and self.access.limiter.is_crowd(self._address):
            self.access.metrics.turned_away.labels("too_many_connections").inc()
            self.transport.abort()

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """The messages. After each, other connections have a turn, however many were read at once."""
        async for message in super().__aiter__():
            yield message
            await asyncio.sleep(0)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, and cut off a client that does not even read the close frame."""
        try:
            async with asyncio.timeout(2 * (self.close_timeout or 0)):
                await super().close(code, reason)
        except TimeoutError:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._address is not None:
            self.access.limiter.leave(self._address)
            self._address = None
        super().connection_lost(exc)
        # Break reference cycles: the garbage collector runs seldom.
        self.protocol.parser.close()
        for fault in (self.protocol.parser_exc, self.connection_exc):
            if fault is not None:
                fault.__traceback__ = None

    def data_received(self, data: bytes) -> None:
        # In portions: a small read may hold frames that decompress to a lot.
        self._at_once_bytes = self._at_once_frames = 0
        for start in range(0, len(data), PORTION_BYTES):
            super().data_received(data[start : start + PORTION_BYTES])
            if self._at_once_bytes > MOST_AT_ONCE_BYTES:
                self._cut_off("swollen")
                return
            if self._at_once_frames > self.access.frames_at_once or self._parts > MOST_PARTS:
                self._cut_off("flood")
                return

    def process_event(self, event: Event) -> None:
        super().process_event(event)
        if not isinstance(event, Frame):
            return
        self._at_once_bytes += len(event.data)
        self._at_once_frames += 1
        if event.opcode is Opcode.CONT:
            self._parts = 0 if event.fin else self._parts + 1
        if event.opcode in (Opcode.CONT, Opcode.PING, Opcode.PONG):
            self.pace.take()  # of commands, although these are none
            if self.pace.is_flood or self.transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
                self._cut_off("flood")

    def _cut_off(self, why: str) -> None:
        if not self.transport.is_closing():
            self.access.metrics.turned_away.labels(why).inc()
            self.transport.abort()


def connections_of(of: AccessControl) -> type[ClientConnection]:
    """The connections of a server with this access."""

    class ControlledConnection(ClientConnection):
        access = of

    return ControlledConnection


async def end_flood(socket: ClientConnection, metrics: Metrics) -> None:
    """Close a connection that keeps sending far more commands than allowed."""
    metrics.turned_away.labels("flood").inc()
    await socket.close(CloseCode.POLICY_VIOLATION, "flood: too many commands were sent")


def _unauthenticated(command: protocol.Command | Refused) -> Refused:
    return Refused("unauthorized", NO_TOKEN, _HOW, command.id)
