"""What people send, read as conditions and terms. Nonsense is said to be so, by a code, a message, a hint.

The same form is stored: what ``fields_of`` tells, ``read_condition`` reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from enum import StrEnum
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from coinwatch.alerts import conditions as c
from coinwatch.alerts.rules import PLACEHOLDERS, Quiet, Repeat, Terms, fill_template
from coinwatch.alerts.texts import duration_text, moment_text
from coinwatch.errors import CoinwatchError
from coinwatch.intervals import Interval
from coinwatch.times import DAY_US, SECOND_US, from_datetime

MAX_PARTS = 10
MAX_DEPTH = 3
MAX_SHOWN = 60
MAX_TEMPLATE_LENGTH = 500
DAY_S = 86_400
LONGEST_WINDOW_S = 366 * DAY_S
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_DURATION = re.compile(r"(\d{1,9})\s*(s|sec|m|min|h|d|w)", re.IGNORECASE)
_UNITS_S = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3_600, "d": DAY_S, "w": 7 * DAY_S}
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_EXCHANGE = re.compile(r"[a-z][a-z0-9_]{1,29}")

LIKE = '{"type":"above","price":1.0}'


class Nonsense(CoinwatchError):
    """What was sent cannot be meant. ``code`` is for programs, ``hint`` says what would be right."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def read_condition(value: Any, *, depth: int = 1) -> c.Condition:
    """The condition that an object of JSON means. Raises Nonsense."""
    if not isinstance(value, dict):
        raise Nonsense("bad_condition", f"condition is {kind(value)}", f"an object like {LIKE}")
    typed = value.get("type")
    if not isinstance(typed, str) or typed not in _BY_TYPE:
        said = f"unknown type {shown(typed)}" if isinstance(typed, str) else f"type is {kind(typed)}"
        raise Nonsense("bad_condition", f"condition: {said}", f"type is one of {', '.join(_BY_TYPE)}")
    made, fields = _BY_TYPE[typed]
    names = {name for name, _, _ in fields}
    refuse_unknown(value, {"type", *names}, f"{typed} takes {', '.join(sorted(names)) or 'nothing more'}")
    if made in c.GROUPS:
        group: c.Condition = made(of=_parts(value.get("of"), typed, depth))
        return group
    given: dict[str, Any] = {}
    for name, field, read in fields:
        sent = value.get(name)
        if sent is not None:
            given[field] = read(sent, name)
        elif field in _REQUIRED[made]:
            raise Nonsense("missing_field", f"{typed} needs {_article(name)}", f"like {EXAMPLES[typed]}")
    condition: c.Condition = made(**_completed(made, given))
    _refuse_contradictions(condition)
    return condition


def read_terms(fields: Mapping[str, Any], condition: c.Condition, now_us: int | None = None) -> Terms:
    """The terms among the fields of a command. ``now_us`` is for lengths of time until the rule expires.

    Raises Nonsense.
    """
    given: dict[str, Any] = {}
    for name, field, read in _TERMS:
        if (sent := fields.get(name)) is not None:
            given[field] = read(sent, name)
    if (sent := fields.get("expires")) is not None:
        given["expires_at_us"] = _expires(sent, now_us)
    terms = Terms(**given)
    if (terms.repeat is Repeat.CANDLE) != (terms.candle is not None):
        raise Nonsense(
            "bad_repeat",
            "repeat by candle and the candle's interval go together",
            '"repeat":"candle","candle":"1h"',
        )
    is_pulse = any(
        isinstance(leaf, c.Crosses | c.AverageCross) and leaf.way is c.Way.EITHER
        for leaf in c.leaves(condition)
    )
    if terms.holds_for_s and is_pulse:
        raise Nonsense(
            "bad_holds_for",
            "a crossing either way is over at once and cannot hold",
            'a crosses with "direction":"up" or "down" can',
        )
    return terms


def fields_of(condition: c.Condition) -> dict[str, Any]:
    """``condition`` as JSON, as ``read_condition`` reads it; what is as by default is left out."""
    if isinstance(condition, c.All | c.Any):
        return {"type": _type(condition), "of": [fields_of(part) for part in condition.of]}
    told: dict[str, Any] = {"type": _type(condition)}
    defaults = _DEFAULTS[type(condition)]
    for name, field, _ in _BY_TYPE[told["type"]][1]:
        value = getattr(condition, field)
        if value != defaults[field]:
            told[name] = duration_text(value) if field.endswith("_s") else msgspec.to_builtins(value)
    return told


def terms_fields(terms: Terms) -> dict[str, Any]:
    """``terms`` as JSON, as ``read_terms`` reads them; what is as by default is left out."""
    told: dict[str, Any] = {}
    for name, field, _ in _TERMS:
        value = getattr(terms, field)
        if value == getattr(_NO_TERMS, field):
            continue
        told[name] = duration_text(value) if field.endswith("_s") else msgspec.to_builtins(value)
        if isinstance(value, Quiet):
            told[name] = {"from": _clock(value.from_minute), "to": _clock(value.to_minute), "tz": value.tz}
    if terms.expires_at_us is not None:
        told["expires"] = moment_text(terms.expires_at_us)
    return told


def read_price(value: Any, name: str = "price") -> float:
    """A price that a trade can have. Raises Nonsense."""
    return _number(value, name, "a finite number above 0, like 70000 or 0.5")


def read_duration(value: Any, name: str, *, least_s: int = 1, longest_s: int = LONGEST_WINDOW_S) -> int:
    """A length of time in seconds, from ``"15m"`` or a number of seconds. Raises Nonsense."""
    hint = f'a length of time from {duration_text(least_s)} to {duration_text(longest_s)}, like "15m" or 900'
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            raise Nonsense(f"bad_{name}", f"{name} is {kind(value)}", hint)
        seconds = int(found[1]) * _UNITS_S[found[2].lower()]
    elif isinstance(value, bool) or not isinstance(value, int):
        raise Nonsense(f"bad_{name}", f"{name} is {kind(value)}", hint)
    else:
        seconds = value
    if not least_s <= seconds <= longest_s:
        raise Nonsense(f"bad_{name}", f"{name} is {shown(str(value))}", hint)
    return seconds


def read_moment(value: Any, name: str) -> int:
    """A moment in microseconds, from unix seconds or ISO 8601 with its zone. Raises Nonsense."""
    hint = 'ISO 8601 with its zone, like "2026-12-01T00:00:00Z", or unix seconds'
    try:
        if isinstance(value, str):
            return from_datetime(datetime.fromisoformat(value.strip()))
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10**11:
            return int(value * SECOND_US)
    except (ValueError, OverflowError):
        pass
    raise Nonsense(f"bad_{name}", f"{name} is {kind(value)}", hint)


def refuse_unknown(fields: Mapping[str, Any], known: Collection[str], hint: str) -> None:
    """Raise Nonsense for a field that is none of those known: a wish we do not know cannot be kept."""
    for name in fields:
        if name not in known:
            raise Nonsense("unknown_field", f"unknown field {shown(name)}", hint)


def kind(value: Any) -> str:
    """What ``value`` is, for a person, however long it may be."""
    match value:
        case None:
            return "missing"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {shown(value)}"
        case int() if abs(value) > 10**30:
            return "a very large number"
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case _:
            return "an object"


def shown(text: str) -> str:
    """``text`` quoted, cut where it is long."""
    return repr(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")


def _parts(value: Any, typed: str, depth: int) -> tuple[c.Condition, ...]:
    hint = f"like {EXAMPLES[typed]}"
    if not isinstance(value, list):
        raise Nonsense("bad_condition", f"{typed}: of is {kind(value)}", hint)
    if not 1 <= len(value) <= MAX_PARTS:
        raise Nonsense("bad_condition", f"{typed} has {len(value)} parts", f"1 to {MAX_PARTS} conditions")
    if depth >= MAX_DEPTH:
        raise Nonsense("bad_condition", "conditions are nested too deeply", f"at most {MAX_DEPTH} deep")
    return tuple(read_condition(part, depth=depth + 1) for part in value)


def _completed(made: type, given: dict[str, Any]) -> dict[str, Any]:
    if made is c.Volume and "usual_s" not in given:
        given["usual_s"] = max(DAY_S, 10 * given["over_s"])
    return given


def _refuse_contradictions(condition: c.Condition) -> None:
    match condition:
        case c._Priced(source=source, interval=interval) if (source is c.Source.CANDLE) != bool(interval):
            raise Nonsense(
                "bad_interval",
                "source candle and the candles' interval go together",
                '"source":"candle","interval":"1h"',
            )
        case c.AverageCross(fast=fast, slow=slow) if fast >= slow:
            raise Nonsense("bad_fast", f"fast is {fast} and slow is {slow}", "fewer candles fast than slow")
        case c.Spread(exchanges=(one, other)) if one == other:
            raise Nonsense("bad_exchanges", f"both exchanges are {one}", "two different ones")
        case c.Volume(over_s=over_s, usual_s=usual_s) if usual_s < 2 * over_s:
            raise Nonsense("bad_usual", "usual is shorter than two windows", "at least twice as long as over")
        case _:
            pass


def _number(value: Any, name: str, hint: str, *, above: float = 0, at_most: float = float("inf")) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Nonsense(f"bad_{name}", f"{name} is {kind(value)}", hint)
    try:
        number = float(value)
    except OverflowError:
        raise Nonsense(f"bad_{name}", f"{name} is too large", hint) from None
    if not isfinite(number):
        raise Nonsense(f"bad_{name}", f"{name} is {'NaN' if number != number else 'infinite'}", hint)
    if not above < number <= at_most:
        raise Nonsense(f"bad_{name}", f"{name} is {number:g}", hint)
    return number


def _percent(value: Any, name: str) -> float:
    return _number(value, name, "a number of percent above 0, up to 10,000, like 5 or 0.5", at_most=10_000)


def _level(value: Any, name: str) -> float:
    return _number(value, name, "a number from -1 to 100, like 70", above=-1.000001, at_most=100)


def _times(value: Any, name: str) -> float:
    return _number(value, name, "how many times the usual, above 0, like 3", at_most=1e6)


def _hysteresis(value: Any, name: str) -> float:
    hint = "a number of percent from 0 to 50, like 0.5"
    return _number(value, name, hint, above=-1e-300, at_most=50)


def _window(value: Any, name: str) -> int:
    return read_duration(value, name, least_s=5)


def _rather_short(value: Any, name: str) -> int:
    return read_duration(value, name, longest_s=31 * DAY_S)


def _count(least: int, most: int) -> Callable[[Any, str], int]:
    def read(value: Any, name: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Nonsense(f"bad_{name}", f"{name} is {kind(value)}", f"a whole number, {least} to {most}")
        return value

    return read


def _choice(choices: type[StrEnum]) -> Callable[[Any, str], StrEnum]:
    def read(value: Any, name: str) -> StrEnum:
        if not isinstance(value, str) or value not in set(choices):
            raise Nonsense(f"bad_{name}", f"{name} is {kind(value)}", f"one of {', '.join(choices)}")
        return choices(value)

    return read


def _exchanges(value: Any, name: str) -> tuple[str, str]:
    hint = 'two names of exchanges, like ["binance","kraken"]'
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise Nonsense(f"bad_{name}", f"{name} is {kind(value)}", hint)
    for one in value:
        if not isinstance(one, str) or not _EXCHANGE.fullmatch(one):
            raise Nonsense(f"bad_{name}", f"{name} has {kind(one)}", hint)
    return value[0], value[1]


def _expires(value: Any, now_us: int | None) -> int:
    if now_us is None:
        return read_moment(value, "expires")
    if isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        return now_us + read_duration(value, "expires") * SECOND_US
    moment_us = read_moment(value, "expires")
    if not now_us < moment_us < now_us + 3_660 * DAY_US:
        raise Nonsense("bad_expires", f"expires is {kind(value)}", "a moment to come, or a length like 7d")
    return moment_us


def _quiet(value: Any, name: str) -> Quiet:
    hint = '{"from":"22:00","to":"07:00","tz":"Europe/Berlin"}'
    if not isinstance(value, dict):
        raise Nonsense(f"bad_{name}", f"{name} is {kind(value)}", f"an object like {hint}")
    refuse_unknown(value, {"from", "to", "tz"}, f"{name} is like {hint}")
    minutes = []
    for end in ("from", "to"):
        found = _TIME_OF_DAY.fullmatch(value[end]) if isinstance(value.get(end), str) else None
        if found is None:
            raise Nonsense(f"bad_{name}", f"{name}: {end} is {kind(value.get(end))}", f"like {hint}")
        minutes.append(int(found[1]) * 60 + int(found[2]))
    if minutes[0] == minutes[1]:
        raise Nonsense(f"bad_{name}", f"{name} are all day long", "snooze the rule instead")
    zone = value.get("tz", "UTC")
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, TypeError, OSError, AttributeError):
        raise Nonsense(f"bad_{name}", f"{name}: tz is {kind(zone)}", 'a time zone, like "UTC"') from None
    return Quiet(minutes[0], minutes[1], zone)


def _template(value: Any, name: str) -> str:
    known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
    hint = f"a text of at most {MAX_TEMPLATE_LENGTH} letters, with any of {known}"
    if not isinstance(value, str):
        raise Nonsense(f"bad_{name}", f"{name} is {kind(value)}", hint)
    if not value.strip() or len(value) > MAX_TEMPLATE_LENGTH or UNSTORABLE.search(value):
        raise Nonsense(f"bad_{name}", f"{name} is empty, too long, or has NUL in it", hint)
    try:
        fill_template(value, dict.fromkeys(PLACEHOLDERS, ""))
    except (KeyError, ValueError, IndexError, AttributeError):
        raise Nonsense(f"bad_{name}", f"{name} has a placeholder that is none", hint) from None
    return value


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _type(condition: c.Condition) -> str:
    return str(type(condition).__struct_config__.tag)


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'aeio' else 'a'} {name}"


_Read = Callable[[Any, str], Any]
_Fields = list[tuple[str, str, _Read]]
"""The name in JSON, that of the struct's field, and who reads it."""

_SOURCE: _Fields = [
    ("source", "source", _choice(c.Source)),
    ("interval", "interval", _choice(Interval)),
]
_FIELDS: dict[type, _Fields] = {
    c.Above: [("price", "price", read_price), *_SOURCE],
    c.Below: [("price", "price", read_price), *_SOURCE],
    c.Crosses: [("price", "price", read_price), ("direction", "way", _choice(c.Way)), *_SOURCE],
    c.Change: [
        ("percent", "percent", _percent),
        ("within", "within_s", _window),
        ("direction", "way", _choice(c.Move)),
        *_SOURCE,
    ],
    c.NewHigh: [("over", "over_s", _window), *_SOURCE],
    c.NewLow: [("over", "over_s", _window), *_SOURCE],
    c.FromAverage: [("percent", "percent", _percent), ("direction", "side", _choice(c.Side))],
    c.Spread: [("exchanges", "exchanges", _exchanges), ("percent", "percent", _percent)],
    c.Volume: [
        ("over", "over_s", _window),
        ("times", "times", _times),
        ("usual", "usual_s", _window),
    ],
    c.AverageCross: [
        ("fast", "fast", _count(1, 500)),
        ("slow", "slow", _count(2, 500)),
        ("interval", "interval", _choice(Interval)),
        ("direction", "way", _choice(c.Way)),
        ("average", "average", _choice(c.MovingAverage)),
    ],
    c.Rsi: [
        ("level", "level", _level),
        ("direction", "side", _choice(c.Direction)),
        ("interval", "interval", _choice(Interval)),
        ("period", "period", _count(2, 200)),
    ],
    c.FearGreed: [("level", "level", _level), ("direction", "side", _choice(c.Direction))],
    c.Sentiment: [("level", "level", _level), ("direction", "side", _choice(c.Direction))],
    c.Silent: [("for", "for_s", _rather_short)],
    c.OpenGap: [],
    c.Depeg: [("percent", "percent", _percent), ("peg", "peg", read_price), *_SOURCE],
    c.All: [("of", "of", lambda value, _: value)],
    c.Any: [("of", "of", lambda value, _: value)],
}
_BY_TYPE: dict[str, tuple[Any, _Fields]] = {
    str(made.__struct_config__.tag): (made, _FIELDS[made]) for made in (*c.LEAVES, *c.GROUPS)
}
_DEFAULTS: dict[type, dict[str, Any]] = {
    made: {one.name: one.default for one in msgspec.structs.fields(made)} for made in _FIELDS
}
_REQUIRED: dict[type, set[str]] = {
    made: {one.name for one in msgspec.structs.fields(made) if one.required} - {"usual_s"} for made in _FIELDS
}
_TERMS: _Fields = [
    ("holds_for", "holds_for_s", _rather_short),
    ("confirmed_on", "confirmed_on", _count(1, 50)),
    ("repeat", "repeat", _choice(Repeat)),
    ("candle", "candle", _choice(Interval)),
    ("hysteresis", "hysteresis", _hysteresis),
    ("cooldown", "cooldown_s", _rather_short),
    ("quiet_hours", "quiet", _quiet),
    ("template", "template", _template),
]
TERMS = (*(name for name, _, _ in _TERMS), "expires")
"""The fields of a command that are a rule's terms."""
_NO_TERMS = Terms()

EXAMPLES: dict[str, str] = {
    "above": LIKE,
    "below": '{"type":"below","price":1.0}',
    "crosses": '{"type":"crosses","price":70000,"direction":"up"}',
    "change": '{"type":"change","percent":5,"within":"15m","direction":"fall"}',
    "new_high": '{"type":"new_high","over":"24h"}',
    "new_low": '{"type":"new_low","over":"7d"}',
    "from_average": '{"type":"from_average","percent":1,"direction":"either"}',
    "spread": '{"type":"spread","exchanges":["binance","kraken"],"percent":0.5}',
    "volume": '{"type":"volume","over":"5m","times":3,"usual":"1d"}',
    "ma_cross": '{"type":"ma_cross","fast":50,"slow":200,"interval":"1h","direction":"up"}',
    "rsi": '{"type":"rsi","level":70,"direction":"above","interval":"1h"}',
    "fear_greed": '{"type":"fear_greed","level":20,"direction":"below"}',
    "sentiment": '{"type":"sentiment","level":-0.3,"direction":"below"}',
    "silent": '{"type":"silent","for":"1m"}',
    "gap": '{"type":"gap"}',
    "depeg": '{"type":"depeg","percent":0.5}',
    "all": '{"type":"all","of":[{"type":"above","price":1.0},{"type":"silent","for":"1m"}]}',
    "any": '{"type":"any","of":[{"type":"above","price":1.0},{"type":"gap"}]}',
}
"""Of each condition one that can be sent so."""
