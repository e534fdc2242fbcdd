"""Who may come in: origins of browsers, tokens, and not too many at once."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from typing import Any, ClassVar

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event

from app.alerts import protocol
from app.alerts.access.rate_limits import ConnectionLimiter, Pace, Paces, address_key
from app.alerts.metrics import Metrics
from app.alerts.protocol import Auth, Refused
from coinwatch.settings import Settings
from coinwatch.tokens import token_hash

AUTH_TIMEOUT_S = 10.0
"""How long a connection may be open without having said who it is."""
RETRY_AFTER_S = 5
PORTION_BYTES = 4_096
MOST_AT_ONCE_BYTES = 2 * 1024 * 1024
"""What one read of a socket may swell to by decompression."""
MOST_UNSENT_BYTES = 1024 * 1024
"""Pongs and the like that may wait for a client that does not read."""

NO_TOKEN = "say first who you are"  # noqa: S105  # a message
_HOW = 'a header Authorization: Bearer TOKEN, or the first frame {"cmd":"auth","token":"…"}'


class AccessControl:
    """What is the same for all connections of an endpoint."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.metrics = metrics
        self.census = ConnectionLimiter(settings.alerts_connections, settings.alerts_connections_per_address)
        self.commands_per_s = settings.alerts_commands_per_s
        self._paces = Paces(settings.alerts_commands_per_s)
        self._owners = settings.alerts_tokens
        self._origins = frozenset(settings.alerts_origins)

    @property
    def is_guarded(self) -> bool:
        """Whether it takes a token to come in."""
        return bool(self._owners)

    def owner_of(self, token: str) -> str | None:
        """Whose token it is; None for nobody's. Takes as long for any token."""
        hashed, found = token_hash(token), None
        for owner, known in self._owners:
            if hmac.compare_digest(hashed, known):
                found = owner
        return found

    def pace_of(self, socket: ClientConnection, client: str | None) -> AbstractContextManager[Pace]:
        """What the commands of a connection go by: with all others of its owner, else of its name."""
        who = socket.owner or client
        return nullcontext(socket.pace) if who is None else self._paces.of(who)

    def answer(self, connection: ClientConnection, request: Request) -> Response | None:
        """The refusal of a websocket; None lets it go on. Notes whose it is."""
        if connection.one_too_many is not None:
            response = self._refuse(
                connection,
                HTTPStatus.SERVICE_UNAVAILABLE,
                Refused("too_many_connections", connection.one_too_many, "close some, or come back later"),
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
        """The refusal of a wrong token, or of none where there must be one in a header."""
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
        said = "this is nobody's token" if given else NO_TOKEN
        hint = "Authorization: Bearer TOKEN, with a token the endpoint knows the hash of"
        response = self._refuse(connection, HTTPStatus.UNAUTHORIZED, Refused("unauthorized", said, hint))
        response.headers["WWW-Authenticate"] = 'Bearer realm="coinwatch"'
        return response

    async def recognise(self, socket: ClientConnection) -> bool:
        """Whether it is known whose connection it is, or will be after its first frame; else it is closed.

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
        answer = self.sign_in(socket, command) if isinstance(command, Auth) else _stranger(command)
        if isinstance(answer, str):
            await socket.send(answer)
            return True
        self.metrics.turned_away.labels(answer.code).inc()
        await socket.send(protocol.error(answer))
        await socket.close(CloseCode.POLICY_VIOLATION, "unauthorized")
        return False

    def sign_in(self, socket: ClientConnection, command: Auth) -> str | Refused:
        """The answer to a token in a frame. A connection stays with the owner it has."""
        owner = self.owner_of(command.token)
        if self.is_guarded and (owner is None or socket.owner not in (None, owner)):
            said = "this is nobody's token" if owner is None else "this connection is another owner's"
            return Refused("unauthorized", said, "open a new connection with a token of yours", command.id)
        socket.owner = owner
        return protocol.ack(command.id, "auth", owner=owner)

    def _refuse(self, connection: ClientConnection, status: HTTPStatus, refused: Refused) -> Response:
        self.metrics.turned_away.labels(refused.code).inc()
        fields = {"code": refused.code, "message": refused.message, "hint": refused.hint}
        response = connection.respond(status, json.dumps(fields) + "\n")
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response


class ClientConnection(ServerConnection):
    """A connection that is counted while it lasts, and cut off when it floods below the level of commands."""

    door: ClassVar[AccessControl]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.owner: str | None = None
        """Whose token it came with."""
        self.one_too_many: str | None = None
        """Why it must not stay."""
        self.pace = Pace(self.door.commands_per_s)
        """Of pings and pongs, and of the commands of who has no name."""
        self._address: str | None = None
        self._at_once_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer: Sequence[Any] = transport.get_extra_info("peername") or ("",)
        self._address = address_key(str(peer[0]))
        self.one_too_many = self.door.census.enter(self._address)
        if self.one_too_many is not None and self.door.census.is_crowd(self._address):
            self.door.metrics.turned_away.labels("too_many_connections").inc()
            self.transport.abort()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close as is usual, and cut off a client that takes nothing, not even that."""
        try:
            async with asyncio.timeout(2 * (self.close_timeout or 0)):
                await super().close(code, reason)
        except TimeoutError:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._address is not None:
            self.door.census.leave(self._address)
            self._address = None
        super().connection_lost(exc)
        # Nothing of it may be left to the collector of cycles, which comes seldom.
        self.protocol.parser.close()
        for fault in (self.protocol.parser_exc, self.connection_exc):
            if fault is not None:
                fault.__traceback__ = None

    def data_received(self, data: bytes) -> None:
        # In portions: a small read of compressed frames may be huge ones.
        self._at_once_bytes = 0
        for start in range(0, len(data), PORTION_BYTES):
            super().data_received(data[start : start + PORTION_BYTES])
            if self._at_once_bytes > MOST_AT_ONCE_BYTES:
                self._cut_off("swollen")
                return

    def process_event(self, event: Event) -> None:
        super().process_event(event)
        if not isinstance(event, Frame):
            return
        self._at_once_bytes += len(event.data)
        if event.opcode in (Opcode.PING, Opcode.PONG):
            self.pace.take()
            if self.pace.is_flood or self.transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
                self._cut_off("flood")

    def _cut_off(self, why: str) -> None:
        if not self.transport.is_closing():
            self.door.metrics.turned_away.labels(why).inc()
            self.transport.abort()


def visitors(of: AccessControl) -> type[ClientConnection]:
    """The connections of a server with this door."""

    class VisitorOfDoor(ClientConnection):
        door = of

    return VisitorOfDoor


async def end_flood(socket: ClientConnection, metrics: Metrics) -> None:
    """Close a connection that goes on sending far more than it may."""
    metrics.turned_away.labels("flood").inc()
    await socket.close(CloseCode.POLICY_VIOLATION, "flood: too many commands went on being sent")


def _stranger(command: protocol.Command | Refused) -> Refused:
    return Refused("unauthorized", NO_TOKEN, _HOW, command.id)
