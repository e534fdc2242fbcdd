"""The commands of ``/ws``: parses frames of clients; ``replies`` encodes the answers. Pure: no I/O.

Every command gets exactly one reply, ``ack`` or ``error``, with the command's ``id``. An error has a
``code`` for programs, a ``message`` that states what is wrong and a ``hint`` that describes a valid value.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import msgspec

from coinwatch.alerts import (
    NO_MARKET,
    Above,
    Condition,
    Terms,
    needs_no_market,
)
from coinwatch.alerts.condition_parser import (
    EXAMPLE,
    TERMS,
    read_condition,
    read_terms,
)
from coinwatch.alerts.field_parsers import (
    UNSTORABLE,
    InvalidField,
    kind,
    read_duration,
    read_moment,
    read_price,
    refuse_unknown,
    shown,
)
from coinwatch.alerts.rules import NO_TERMS
from coinwatch.times import SECOND_US, now_us
from coinwatch.tokens import LONGEST_TOKEN, NAME
from coinwatch.windows import Window

MAX_FRAME_BYTES = 65_536
MAX_ID_LENGTH = 100
MAX_SYMBOL_LENGTH = 60
MAX_NOTE_LENGTH = 500
MAX_PREVIEW_S = 31 * 86_400
MAX_SAFE_INT = 2**53 - 1
"""The largest whole number that every JSON parser keeps exactly."""

CommandId: TypeAlias = str | int | None


class Watch(msgspec.Struct, frozen=True):
    """Create a rule."""

    id: CommandId
    typed: str
    """The symbol as the client typed it, not resolved yet."""
    condition: Condition
    terms: Terms = NO_TERMS
    note: str | None = None


class Preview(msgspec.Struct, frozen=True):
    """Run a watch over stored data."""

    watch: Watch
    window: Window

    @property
    def id(self) -> CommandId:
        return self.watch.id


class Unwatch(msgspec.Struct, frozen=True):
    """Delete a rule."""

    id: CommandId
    rule_id: int


class Snooze(msgspec.Struct, frozen=True):
    """Keep a rule from firing until a moment."""

    id: CommandId
    rule_id: int
    until_us: int


class Resume(msgspec.Struct, frozen=True):
    """End the snooze or the pause of a rule."""

    id: CommandId
    rule_id: int


class ListRules(msgspec.Struct, frozen=True):
    """List the rules of the client."""

    id: CommandId


class Ping(msgspec.Struct, frozen=True):
    """Check the connection, and ask for the last event that was sent."""

    id: CommandId


class Auth(msgspec.Struct, frozen=True):
    """A token, from a client that could not send it in the handshake."""

    id: CommandId
    token: str

    def __repr__(self) -> str:
        return "Auth(…)"


Command: TypeAlias = Auth | Watch | Unwatch | Snooze | Resume | ListRules | Ping | Preview


class Refused(msgspec.Struct, frozen=True):
    """A frame that is not a command, or a command that is refused."""

    code: str
    message: str
    hint: str
    id: CommandId = None
    retry_after_s: float | None = None
    """When the same would be done, where that is known."""


_WATCH_FIELDS = {"symbol", "price", "condition", "note", *TERMS}
_FIELDS = {
    "watch": _WATCH_FIELDS,
    "unwatch": {"rule_id"},
    "snooze": {"rule_id", "for", "until"},
    "resume": {"rule_id"},
    "preview": {*_WATCH_FIELDS, "since", "until"},
    "list": set[str](),
    "ping": set[str](),
    "auth": {"token"},
}
COMMANDS = tuple(_FIELDS)

_WATCH_LIKE = '{"cmd":"watch","symbol":"btcusdc","price":1.0}'


def parse(frame: str | bytes) -> Command | Refused:
    """Parse one frame of a client. Never raises."""
    command_id: CommandId = None
    try:
        fields = _object(frame)
        command_id = _id(fields)
        return _command(command_id, fields)
    except InvalidField as error:
        return Refused(error.code, str(error), error.hint, command_id)


def is_client_name(text: str) -> bool:
    """Whether a client can use this name."""
    return NAME.fullmatch(text) is not None


def owned_name(owner: str | None, client: str) -> str:
    """The stored name of a client: with its owner's in front, so that no other owner's client has it."""
    return client if owner is None else f"{owner}/{client}"


def is_owned_name(text: str) -> bool:
    """Whether this is a valid stored name of a client."""
    return all(map(is_client_name, text.split("/", 1)))


def seed_message(typed: str) -> str:
    """The message of a watch with only a price, as a template."""
    return f"Take profit on {typed.strip()}".replace("{", "{{").replace("}", "}}")


def _object(frame: str | bytes) -> dict[str, Any]:
    if isinstance(frame, bytes):
        raise InvalidField("binary_frame", "this is a binary frame", "send JSON in a text frame")
    size = len(frame.encode(errors="surrogatepass"))
    if size > MAX_FRAME_BYTES:
        raise InvalidField(
            "frame_too_large", f"the frame has {size} bytes", f"at most {MAX_FRAME_BYTES} bytes a frame"
        )
    try:
        # NaN and 1e999 are accepted here, and refused later with the name of their field.
        fields = json.loads(frame)
    except RecursionError:
        raise InvalidField("bad_json", "the frame is nested too deeply", f"like {_WATCH_LIKE}") from None
    except ValueError as fault:
        raise InvalidField("bad_json", f"not JSON: {shown(str(fault))}", f"like {_WATCH_LIKE}") from None
    if not isinstance(fields, dict):
        raise InvalidField(
            "not_an_object", f"{kind(fields)} is not a command", f"an object like {_WATCH_LIKE}"
        )
    return fields


def _id(fields: Mapping[str, Any]) -> CommandId:
    value = fields.get("id")
    if value is None or (_is_int(value) and abs(value) <= MAX_SAFE_INT):
        return value
    if isinstance(value, str) and len(value) <= MAX_ID_LENGTH:
        return value
    raise InvalidField(
        "bad_id",
        f"id is {kind(value)}",
        f"a string of at most {MAX_ID_LENGTH} characters, a whole number up to {MAX_SAFE_INT}, or none",
    )


def _command(command_id: CommandId, fields: Mapping[str, Any]) -> Command:
    cmd = fields.get("cmd")
    if not isinstance(cmd, str) or cmd not in _FIELDS:
        problem = f"unknown command {shown(cmd)}" if isinstance(cmd, str) else f"cmd is {kind(cmd)}"
        raise InvalidField("unknown_command", problem, f"cmd is one of {', '.join(COMMANDS)}")
    refuse_unknown(fields, {"cmd", "id", *_FIELDS[cmd]}, f"{cmd} takes {_names(_FIELDS[cmd])}")
    match cmd:
        case "watch":
            return _watch(command_id, fields, cmd)
        case "preview":
            return _preview(command_id, fields)
        case "unwatch":
            return Unwatch(command_id, _rule_id(fields.get("rule_id"), cmd))
        case "snooze":
            return Snooze(command_id, _rule_id(fields.get("rule_id"), cmd), _snoozed_until(fields))
        case "resume":
            return Resume(command_id, _rule_id(fields.get("rule_id"), cmd))
        case "list":
            return ListRules(command_id)
        case "auth":
            return Auth(command_id, _token(fields.get("token")))
        case _:
            return Ping(command_id)


def _watch(command_id: CommandId, fields: Mapping[str, Any], cmd: str) -> Watch:
    typed = _text(fields, "symbol", MAX_SYMBOL_LENGTH, "a pair like btcusdc, BTC-USDC or binance:BTC-USDC")
    note = _text(fields, "note", MAX_NOTE_LENGTH, "a text")
    price, sent = fields.get("price"), fields.get("condition")
    if (price is None) == (sent is None):
        problem = "neither price nor condition" if price is None else "both price and condition"
        raise InvalidField(
            "missing_field" if price is None else "bad_condition",
            f"{cmd} has {problem}",
            f'either "price":1.0 (at or above) or "condition":{EXAMPLE}',
        )
    condition = Above(price=read_price(price)) if sent is None else read_condition(sent)
    if typed is None:
        if not needs_no_market(condition):
            raise InvalidField("missing_field", f"{cmd} needs a symbol", f"like {_WATCH_LIKE}")
        typed = str(NO_MARKET)
    terms = read_terms(fields, condition, now_us())
    if terms.confirmed_on > 1 and ":" in typed:
        problem = f"{shown(typed)} is on one exchange, so no other can confirm it"
        raise InvalidField("bad_confirmed_on", problem, "a pair on any exchange, like BTC-USDT")
    if sent is None and terms.template is None:
        terms = msgspec.structs.replace(terms, template=seed_message(typed))
    return Watch(command_id, typed, condition, terms, note)


def _preview(command_id: CommandId, fields: Mapping[str, Any]) -> Preview:
    watch = _watch(command_id, fields, "preview")
    until_us = now_us()
    if (sent := fields.get("until")) is not None:
        until_us = min(until_us, read_moment(sent, "until"))
    sent = fields.get("since")
    if sent is None:
        raise InvalidField("missing_field", "preview needs since", 'like "since":"24h" or a moment')
    if isinstance(sent, str) and sent.strip()[-1:].isalpha() and not sent.strip().endswith("Z"):
        since_us = until_us - read_duration(sent, "since", longest_s=MAX_PREVIEW_S) * SECOND_US
    else:
        since_us = read_moment(sent, "since")
    if since_us < 0 or not 0 < until_us - since_us <= MAX_PREVIEW_S * SECOND_US:
        raise InvalidField(
            "bad_since", f"since is {kind(sent)}", "after 1970, before until by at most 31 days"
        )
    return Preview(watch, Window(since_us, until_us))


def _snoozed_until(fields: Mapping[str, Any]) -> int:
    length, until = fields.get("for"), fields.get("until")
    if (length is None) == (until is None):
        raise InvalidField(
            "missing_field", "snooze needs for or until", '"for":"1h", or "until" and a moment'
        )
    if length is not None:
        return now_us() + read_duration(length, "for") * SECOND_US
    return read_moment(until, "until")


def _token(value: Any) -> str:
    # The value is not repeated in the message: it is, or resembles, a secret.
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TOKEN:
        raise InvalidField(
            "missing_field" if value is None else "bad_token",
            "auth needs a token",
            'like {"cmd":"auth","token":"coinwatch_…"}',
        )
    return value


def _rule_id(value: Any, cmd: str) -> int:
    if value is None:
        raise InvalidField("missing_field", f"{cmd} needs a rule_id", f'like {{"cmd":"{cmd}","rule_id":7}}')
    if not _is_int(value) or not 0 < value < 2**63:
        raise InvalidField(
            "bad_rule_id", f"rule_id is {kind(value)}", "the whole number in the reply to watch"
        )
    return int(value)


def _text(fields: Mapping[str, Any], name: str, longest: int, wanted: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", wanted)
    if not value.strip() or len(value) > longest:
        problem = f"{len(value)} characters long" if value.strip() else "empty"
        raise InvalidField(f"bad_{name}", f"{name} is {problem}", f"{wanted}, at most {longest} characters")
    if UNSTORABLE.search(value):
        raise InvalidField(f"bad_{name}", f"{name} contains NUL or an incomplete character", wanted)
    return value


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _names(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "only an id"
