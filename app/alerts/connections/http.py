"""What the endpoint answers over plain HTTP, and what the address of a websocket may say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from app.alerts.access.admission import AccessControl, ClientConnection
from app.alerts.metrics import Metrics
from app.alerts.protocol import is_client_name

GREATEST_EVENT_ID = 2**63 - 1


class Target(msgspec.Struct, frozen=True):
    """Who connects, and from where on."""

    client: str | None = None
    after: int | None = None


class BadTarget(ValueError):
    """The address asks for something that cannot be. The message says what would be right."""


def read_target(path: str) -> Target:
    """Read ``/ws?client=NAME&after=EVENT_ID``. Raises BadTarget."""
    given = parse_qsl(urlsplit(path).query, keep_blank_values=True)
    fields = dict(given)
    if len(given) > len(fields) or fields.keys() - {"client", "after"}:
        raise BadTarget("the address takes client and after, once each: /ws?client=NAME&after=EVENT_ID")
    client, after = fields.get("client"), fields.get("after")
    if client is not None and not is_client_name(client):
        raise BadTarget("client is a name of 1 to 64 letters, digits, dots, dashes, underscores or @")
    if after is None:
        return Target(client)
    if client is None:
        raise BadTarget("after needs a client: only who has a name can come back for what was missed")
    if not (after.isascii() and after.isdecimal() and int(after[:20]) <= GREATEST_EVENT_ID):
        raise BadTarget("after is the event_id of the last alert you got, a whole number; 0 for all")
    return Target(client, int(after))


class Pages:
    """``/healthz`` and ``/metrics``, and refusals of websockets that ask for something impossible."""

    def __init__(
        self,
        door: AccessControl,
        metrics: Metrics,
        why_unhealthy: Callable[[], str | None],
        detail: Callable[[], Mapping[str, object]],
    ) -> None:
        self._door = door
        self._metrics = metrics
        self._why_unhealthy = why_unhealthy
        self._detail = detail

    def answer(self, connection: ClientConnection, request: Request) -> Response | None:
        """The response to ``request``; None lets it become a websocket."""
        match urlsplit(request.path).path:
            case "/ws":
                return self._door.answer(connection, request) or self._handshake(connection, request)
            case "/prices":
                return self._door.answer(connection, request)
            case "/healthz":
                return self._health(connection, request)
            case "/metrics":
                return self._door.answer_unknown(connection, request, header_needed=True) or _respond(
                    connection,
                    HTTPStatus.OK,
                    self._metrics.text(),
                    "text/plain; version=0.0.4; charset=utf-8",
                )
            case _:
                message = "not here; there are ws://…/ws, ws://…/prices, /healthz and /metrics"
                return _json(connection, HTTPStatus.NOT_FOUND, {"error": message})

    def _handshake(self, connection: ClientConnection, request: Request) -> Response | None:
        try:
            read_target(request.path)
        except BadTarget as error:
            return _json(connection, HTTPStatus.BAD_REQUEST, {"error": str(error)})
        return None

    def _health(self, connection: ClientConnection, request: Request) -> Response:
        # Load balancers bring no token: they are told whether, not how much.
        stranger = self._door.answer_unknown(connection, request, header_needed=True) is not None
        detail = {} if stranger else self._detail()
        reason = self._why_unhealthy()
        if reason is None:
            return _json(connection, HTTPStatus.OK, {"status": "ok", **detail})
        unavailable = {"status": "unavailable", "reason": reason, **detail}
        return _json(connection, HTTPStatus.SERVICE_UNAVAILABLE, unavailable)


def _json(connection: ServerConnection, status: HTTPStatus, fields: Mapping[str, object]) -> Response:
    return _respond(connection, status, json.dumps(fields) + "\n", "application/json")


def _respond(connection: ServerConnection, status: HTTPStatus, text: str, content_type: str) -> Response:
    response = connection.respond(status, text)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = content_type
    return response
