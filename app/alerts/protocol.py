"""The language of ``/ws``: a client's frame to a command, and what is sent back. Pure.

Every command gets exactly one reply, ``ack`` or ``error``, with the command's ``id``. An error has a
``code`` for programs, a ``message`` that says what was wrong and a ``hint`` that says what would be right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any, TypeAlias

import msgspec

from coinwatch.alerts import Alert, Condition, Direction, Rule
from coinwatch.times import to_datetime

MAX_FRAME_BYTES = 65_536
MAX_ID_LENGTH = 100
MAX_SYMBOL_LENGTH = 60
MAX_NOTE_LENGTH = 500
MAX_SHOWN = 60
MAX_SAFE_INT = 2**53 - 1
"""The greatest whole number every JSON reader keeps exactly."""

CommandId: TypeAlias = str | int | None


class Watch(msgspec.Struct, frozen=True):
    id: CommandId
    typed: str
    """The symbol as the client wrote it; not yet known to be one."""
    condition: Condition
    note: str | None = None
    message: str | None = None


class Unwatch(msgspec.Struct, frozen=True):
    id: CommandId
    rule_id: int


class ListRules(msgspec.Struct, frozen=True):
    id: CommandId


class Ping(msgspec.Struct, frozen=True):
    id: CommandId


Command: TypeAlias = Watch | Unwatch | ListRules | Ping


class Refused(msgspec.Struct, frozen=True):
    """A frame that is no command, or a command that cannot be done."""

    code: str
    message: str
    hint: str
    id: CommandId = None


class _Refusal(Exception):
    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


_FIELDS = {
    "watch": {"symbol", "price", "condition", "note"},
    "unwatch": {"rule_id"},
    "list": set[str](),
    "ping": set[str](),
}
COMMANDS = tuple(_FIELDS)

_WATCH_LIKE = '{"cmd":"watch","symbol":"btcusdc","price":1.0}'
_CONDITION_LIKE = '{"type":"above","price":1.0}'
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CLIENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def parse(frame: str | bytes) -> Command | Refused:
    """Read one frame of a client. Never raises."""
    command_id: CommandId = None
    try:
        fields = _object(frame)
        command_id = _id(fields)
        return _command(command_id, fields)
    except _Refusal as refusal:
        return Refused(refusal.code, str(refusal), refusal.hint, command_id)


def is_client_name(text: str) -> bool:
    """Whether a client may call itself so."""
    return _CLIENT_NAME.fullmatch(text) is not None


def ack(command_id: CommandId, cmd: str, **fields: Any) -> str:
    return _frame({"type": "ack", "id": command_id, "cmd": cmd, **fields})


def error(refused: Refused) -> str:
    return _frame(
        {
            "type": "error",
            "id": refused.id,
            "code": refused.code,
            "message": refused.message,
            "hint": refused.hint,
        }
    )


def alert(fired: Alert) -> str:
    return _frame(
        {
            "type": "alert",
            "event_id": fired.event_id,
            "rule_id": fired.rule_id,
            "symbol": fired.symbol,
            "exchange": fired.exchange,
            "price": fired.price,
            "ts": _moment(fired.ts_us),
            "message": fired.message,
        }
    )


def rule_fields(rule: Rule) -> dict[str, Any]:
    """How a rule is told in an ``ack``."""
    return {
        "rule_id": rule.id,
        "symbol": str(rule.symbol),
        "exchange": rule.exchange,
        "condition": {"type": rule.condition.type.value, "price": rule.condition.price},
        "note": rule.note,
        "created_at": _moment(rule.created_at_us),
    }


def _frame(fields: Mapping[str, Any]) -> str:
    # In ASCII, so that whatever a client sent as its id can be sent back.
    return json.dumps(fields, allow_nan=False, separators=(",", ":"))


def _moment(ts_us: int) -> str:
    return to_datetime(ts_us).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _object(frame: str | bytes) -> dict[str, Any]:
    if isinstance(frame, bytes):
        raise _Refusal("binary_frame", "this is a binary frame", "send JSON in a text frame")
    size = len(frame.encode(errors="surrogatepass"))
    if size > MAX_FRAME_BYTES:
        raise _Refusal(
            "frame_too_large", f"the frame has {size} bytes", f"at most {MAX_FRAME_BYTES} bytes a frame"
        )
    try:
        # Not strict about numbers here: NaN and 1e999 get through, to be refused by the name of their field.
        fields = json.loads(frame)
    except RecursionError:
        raise _Refusal("bad_json", "the frame is nested too deeply", f"like {_WATCH_LIKE}") from None
    except ValueError as fault:
        raise _Refusal("bad_json", f"not JSON: {_shown(str(fault))}", f"like {_WATCH_LIKE}") from None
    if not isinstance(fields, dict):
        raise _Refusal("not_an_object", f"{_kind(fields)} is no command", f"an object like {_WATCH_LIKE}")
    return fields


def _id(fields: Mapping[str, Any]) -> CommandId:
    value = fields.get("id")
    if value is None or (_is_int(value) and abs(value) <= MAX_SAFE_INT):
        return value
    if isinstance(value, str) and len(value) <= MAX_ID_LENGTH:
        return value
    raise _Refusal(
        "bad_id",
        f"id is {_kind(value)}",
        f"a string of at most {MAX_ID_LENGTH} letters, a whole number up to {MAX_SAFE_INT}, or none",
    )


def _command(command_id: CommandId, fields: Mapping[str, Any]) -> Command:
    cmd = fields.get("cmd")
    if not isinstance(cmd, str) or cmd not in _FIELDS:
        said = f"unknown command {_shown(cmd)}" if isinstance(cmd, str) else f"cmd is {_kind(cmd)}"
        raise _Refusal("unknown_command", said, f"cmd is one of {', '.join(COMMANDS)}")
    _refuse_unknown(fields, {"cmd", "id", *_FIELDS[cmd]}, f"{cmd} takes {_names(_FIELDS[cmd])}")
    match cmd:
        case "watch":
            return _watch(command_id, fields)
        case "unwatch":
            return Unwatch(command_id, _rule_id(fields.get("rule_id")))
        case "list":
            return ListRules(command_id)
        case _:
            return Ping(command_id)


def _watch(command_id: CommandId, fields: Mapping[str, Any]) -> Watch:
    typed = _text(fields, "symbol", MAX_SYMBOL_LENGTH, "a pair like btcusdc, BTC-USDC or binance:BTC-USDC")
    if typed is None:
        raise _Refusal("missing_field", "watch needs a symbol", f"like {_WATCH_LIKE}")
    note = _text(fields, "note", MAX_NOTE_LENGTH, "a text")
    price, condition = fields.get("price"), fields.get("condition")
    if (price is None) == (condition is None):
        said = "neither price nor condition" if price is None else "both price and condition"
        raise _Refusal(
            "missing_field" if price is None else "bad_condition",
            f"watch has {said}",
            f'either "price":1.0 (at or above) or "condition":{_CONDITION_LIKE}',
        )
    if condition is None:
        above = Condition(Direction.ABOVE, _price(price))
        return Watch(command_id, typed, above, note, message=f"Take profit on {typed.strip()}")
    return Watch(command_id, typed, _condition(condition), note)


def _condition(value: Any) -> Condition:
    if not isinstance(value, dict):
        raise _Refusal("bad_condition", f"condition is {_kind(value)}", f"an object like {_CONDITION_LIKE}")
    _refuse_unknown(value, {"type", "price"}, "a condition takes type and price")
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in set(Direction):
        said = f"unknown type {_shown(kind)}" if isinstance(kind, str) else f"type is {_kind(kind)}"
        raise _Refusal("bad_condition", f"condition: {said}", f"type is one of {', '.join(Direction)}")
    if value.get("price") is None:
        raise _Refusal("missing_field", "condition needs a price", f"like {_CONDITION_LIKE}")
    return Condition(Direction(kind), _price(value["price"]))


def _price(value: Any) -> float:
    hint = "a finite number above 0, like 70000 or 0.5"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Refusal("bad_price", f"price is {_kind(value)}", hint)
    try:
        price = float(value)
    except OverflowError:
        raise _Refusal("bad_price", "price is too large", hint) from None
    if not isfinite(price):
        raise _Refusal("bad_price", f"price is {'NaN' if price != price else 'infinite'}", hint)
    if price <= 0:
        raise _Refusal("bad_price", f"price is {price:g}", hint)
    return price


def _rule_id(value: Any) -> int:
    if value is None:
        raise _Refusal("missing_field", "unwatch needs a rule_id", 'like {"cmd":"unwatch","rule_id":7}')
    if not _is_int(value) or not 0 < value < 2**63:
        raise _Refusal("bad_rule_id", f"rule_id is {_kind(value)}", "the whole number that watch answered")
    return int(value)


def _text(fields: Mapping[str, Any], name: str, longest: int, wanted: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _Refusal(f"bad_{name}", f"{name} is {_kind(value)}", wanted)
    if not value.strip() or len(value) > longest:
        said = f"{len(value)} letters long" if value.strip() else "empty"
        raise _Refusal(f"bad_{name}", f"{name} is {said}", f"{wanted}, at most {longest} letters")
    if _UNSTORABLE.search(value):
        raise _Refusal(f"bad_{name}", f"{name} has NUL or half a character in it", wanted)
    return value


def _refuse_unknown(fields: Mapping[str, Any], known: Collection[str], hint: str) -> None:
    for name in fields:
        if name not in known:
            raise _Refusal("unknown_field", f"unknown field {_shown(name)}", hint)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _names(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "nothing but an id"


def _kind(value: Any) -> str:
    """What ``value`` is, for a person, however long it may be."""
    match value:
        case None:
            return "missing"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {_shown(value)}"
        case int() if abs(value) > 10**30:
            return "a very large number"
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case _:
            return "an object"


def _shown(text: str) -> str:
    return repr(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")
