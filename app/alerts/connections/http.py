"""Responses over plain HTTP, and the address of a websocket."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from app.alerts.access.admission import AccessControl, ClientConnection
from app.alerts.access.refusals import text_response
from app.alerts.metrics import Metrics
from app.alerts.protocol import is_client_name
from coinwatch.health.problems import Problem, body, body_for_unknown_clients

GREATEST_EVENT_ID = 2**63 - 1


class Target(msgspec.Struct, frozen=True):
    """The client that connects, and the last event it received."""

    client: str | None = None
    after: int | None = None


class BadTarget(ValueError):
    """The address of a websocket is invalid. The message states what is valid."""


def read_target(path: str) -> Target:
    """Read ``/ws?client=NAME&after=EVENT_ID``. Raises BadTarget."""
    given = parse_qsl(path.partition("?")[2], keep_blank_values=True)
    fields = dict(given)
    if len(given) > len(fields) or fields.keys() - {"client", "after"}:
        raise BadTarget("the address takes client and after, once each: /ws?client=NAME&after=EVENT_ID")
    client, after = fields.get("client"), fields.get("after")
    if client is not None and not is_client_name(client):
        raise BadTarget("client is a name of 1 to 64 letters, digits, dots, dashes, underscores or @")
    if after is None:
        return Target(client)
    if client is None:
        raise BadTarget("after needs a client: only named clients can receive what they missed")
    if not (after.isascii() and after.isdecimal() and int(after[:20]) <= GREATEST_EVENT_ID):
        raise BadTarget("after is the event_id of the last alert received, a whole number; 0 for all")
    return Target(client, int(after))


class Pages:
    """``/healthz`` and ``/metrics``, and refusals of websockets."""

    def __init__(
        self,
        access: AccessControl,
        metrics: Metrics,
        problems: Callable[[], Collection[Problem]],
        detail: Callable[[], Mapping[str, object]],
    ) -> None:
        self._access = access
        self._metrics = metrics
        self._problems = problems
        self._detail = detail

    def answer(self, connection: ClientConnection, request: Request) -> Response | None:
        """The response to ``request``; None if it becomes a websocket."""
        response = self._answer(connection, request)
        if response is not None and request.method == "HEAD":
            response.body = b""
        return response

    def _answer(self, connection: ClientConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path in ("/healthz", "/metrics") and request.method not in ("GET", "HEAD"):
            response = _json(
                connection, HTTPStatus.METHOD_NOT_ALLOWED, {"error": "this page is read by GET or HEAD"}
            )
            response.headers["Allow"] = "GET, HEAD"
            return response
        match path:
            case "/ws":
                return self._access.answer(connection, request) or self._handshake(connection, request)
            case "/prices":
                return self._access.answer(connection, request)
            case "/healthz":
                return self._health(connection, request)
            case "/metrics":
                return self._access.answer_unknown(connection, request, header_needed=True) or text_response(
                    connection,
                    HTTPStatus.OK,
                    self._metrics.text(),
                    "text/plain; version=0.0.4; charset=utf-8",
                )
            case _:
                message = "not found; there are ws://…/ws, ws://…/prices, /healthz and /metrics"
                return _json(connection, HTTPStatus.NOT_FOUND, {"error": message})

    def _handshake(self, connection: ClientConnection, request: Request) -> Response | None:
        try:
            read_target(request.path)
        except BadTarget as error:
            return _json(connection, HTTPStatus.BAD_REQUEST, {"error": str(error)})
        return None

    def _health(self, connection: ClientConnection, request: Request) -> Response:
        problems = self._problems()
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        # Load balancers have no token: they get the status without details, which name the database.
        if self._access.answer_unknown(connection, request, header_needed=True) is not None:
            return _json(connection, status, body_for_unknown_clients(problems))
        return _json(connection, status, body(problems, self._detail()))


def _json(connection: ServerConnection, status: HTTPStatus, fields: Mapping[str, object]) -> Response:
    return text_response(connection, status, json.dumps(fields) + "\n", "application/json")
