"""Reads frames of the alert endpoint. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from coinwatch.alerts import Alert
from coinwatch.errors import BadMessage, CommandRefused
from coinwatch.times import from_datetime


class Reply(msgspec.Struct, frozen=True):
    """The reply to the command with this ``id``; None if the endpoint could not read it."""

    id: int | None
    fields: Mapping[str, Any]
    error: CommandRefused | None = None


def read_frame(frame: str | bytes) -> Alert | Reply | None:
    """An alert, a reply, or None for a type of frame that this client does not know.

    Raises BadMessage for a frame that violates the protocol.
    """
    try:
        fields = msgspec.json.decode(frame, type=dict[str, Any])
        match fields.get("type"):
            case "alert":
                return Alert(
                    event_id=fields["event_id"],
                    rule_id=fields["rule_id"],
                    symbol=fields["symbol"],
                    exchange=fields["exchange"],
                    price=fields["price"],
                    ts_us=from_datetime(datetime.fromisoformat(fields["ts"])),
                    message=fields["message"],
                    value=fields.get("value"),
                    late=fields.get("late", False),
                    degraded=fields.get("degraded", False),
                    paused=fields.get("paused", False),
                )
            case "ack":
                return Reply(fields["id"], fields)
            case "error":
                refused = CommandRefused(fields["code"], fields["message"], fields["hint"])
                return Reply(fields["id"], fields, refused)
            case _:
                return None
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise BadMessage("alerts", f"not a frame of the alert protocol: {error!r}", frame) from None
