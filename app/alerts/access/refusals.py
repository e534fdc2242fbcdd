"""Refusals of requests before a websocket opens, as HTTP responses."""

from __future__ import annotations

import json
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

from app.alerts.protocol import Refused


class RequestRefused(Exception):
    """The address of a websocket asks for something that is not possible. ``refused`` is the reply to it."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.refused = Refused(code, message, hint)


def refusal_fields(refused: Refused) -> dict[str, str]:
    """The code, message and hint of a refusal, as they are sent."""
    return {"code": refused.code, "message": refused.message, "hint": refused.hint}


def refusal_response(connection: ServerConnection, status: HTTPStatus, refused: Refused) -> Response:
    """A refusal as JSON."""
    return text_response(connection, status, json.dumps(refusal_fields(refused)) + "\n", "application/json")


def text_response(connection: ServerConnection, status: HTTPStatus, text: str, content_type: str) -> Response:
    """A response with a body."""
    response = connection.respond(status, text)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = content_type
    return response
