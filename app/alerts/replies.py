"""What ``/ws`` sends: the replies to commands, and alerts, as JSON text frames. Pure: no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from app.alerts.protocol import CommandId, Refused, seed_message
from coinwatch.alerts import Alert, Firing, Rule, moment_text
from coinwatch.alerts.condition_parser import fields_of, terms_fields
from coinwatch.errors import UnreadableRule
from coinwatch.windows import Window


def ack(command_id: CommandId, cmd: str, **fields: Any) -> str:
    """The frame that acknowledges a command."""
    return _frame({"type": "ack", "id": command_id, "cmd": cmd, **fields})


def error(refused: Refused) -> str:
    """The frame of an error."""
    fields: dict[str, Any] = {
        "type": "error",
        "id": refused.id,
        "code": refused.code,
        "message": refused.message,
        "hint": refused.hint,
    }
    if refused.retry_after_s is not None:
        fields["retry_after_s"] = refused.retry_after_s
    return _frame(fields)


def alert(fired: Alert) -> str:
    """The frame of an alert."""
    fields: dict[str, Any] = {
        "type": "alert",
        "event_id": fired.event_id,
        "rule_id": fired.rule_id,
        "symbol": fired.symbol,
        "exchange": fired.exchange,
        "price": fired.price,
        "ts": moment_text(fired.ts_us),
        "message": fired.message,
    }
    if fired.value is not None:
        fields["value"] = fired.value
    fields |= {name: True for name in ("late", "degraded", "paused") if getattr(fired, name)}
    return msgspec.json.encode(fields).decode()


def rule_fields(rule: Rule) -> dict[str, Any]:
    """A rule as the fields of an ``ack``."""
    fields = {
        "rule_id": rule.id,
        "symbol": str(rule.symbol),
        "exchange": rule.exchange,
        "condition": fields_of(rule.condition),
        **terms_fields(rule.terms),
        "note": rule.note,
        "created_at": moment_text(rule.created_at_us),
    }
    if rule.terms.template == seed_message(rule.typed):
        del fields["template"]
    if rule.fired_at_us is not None:
        fields["fired_at"] = moment_text(rule.fired_at_us)
    if rule.state.snoozed_until_us is not None:
        fields["snoozed_until"] = moment_text(rule.state.snoozed_until_us)
    if rule.state.paused:
        fields["paused"] = True
    return fields


def unreadable_fields(unreadable: UnreadableRule) -> dict[str, Any]:
    """An unreadable rule as the fields of an ``ack``."""
    return {"rule_id": unreadable.rule_id, "message": str(unreadable), "hint": unreadable.hint}


def firing_fields(firing: Firing) -> dict[str, Any]:
    """A firing of a preview as the fields of an ``ack``."""
    fields: dict[str, Any] = {
        "exchange": firing.exchange,
        "price": firing.price,
        "ts": moment_text(firing.ts_us),
        "message": firing.message,
    }
    if firing.value is not None:
        fields["value"] = firing.value
    return fields


def coverage_fields(window: Window, by: str) -> dict[str, Any]:
    """One span of what a preview stands on."""
    return {"from": moment_text(window.start_us), "to": moment_text(window.end_us), "by": by}


def _frame(fields: Mapping[str, Any]) -> str:
    # In ASCII, so that any id of a client can be sent back.
    return json.dumps(fields, allow_nan=False, separators=(",", ":"))
