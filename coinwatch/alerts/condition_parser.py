"""What people send, read as conditions and terms. Nonsense is said to be so, by a code, a message, a hint.

The same form is stored: what ``fields_of`` tells, ``read_condition`` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from coinwatch.alerts import conditions as c
from coinwatch.alerts.field_parsers import (
    DAY_S,
    MAX_TEMPLATE_LENGTH,
    UNSTORABLE,
    InvalidField,
    kind,
    read_choice,
    read_count,
    read_duration,
    read_exchanges,
    read_expires,
    read_hysteresis,
    read_job,
    read_level,
    read_moment,
    read_percent,
    read_price,
    read_quiet,
    read_rather_short,
    read_template,
    read_times,
    read_window,
    refuse_unknown,
    shown,
)
from coinwatch.alerts.rules import Quiet, Repeat, Terms
from coinwatch.alerts.texts import duration_text, moment_text, words
from coinwatch.intervals import Interval

__all__ = [
    "EXAMPLES",
    "LIKE",
    "MAX_TEMPLATE_LENGTH",
    "TERMS",
    "UNSTORABLE",
    "InvalidField",
    "fields_of",
    "kind",
    "read_condition",
    "read_duration",
    "read_moment",
    "read_price",
    "read_terms",
    "refuse_unknown",
    "shown",
    "terms_fields",
]

MAX_PARTS = 10
MAX_DEPTH = 3

LIKE = '{"type":"above","price":1.0}'


def read_condition(value: Any, *, depth: int = 1) -> c.Condition:
    """The condition that an object of JSON means. Raises Nonsense."""
    if not isinstance(value, dict):
        raise InvalidField("bad_condition", f"condition is {kind(value)}", f"an object like {LIKE}")
    typed = value.get("type")
    if not isinstance(typed, str) or typed not in _BY_TYPE:
        said = f"unknown type {shown(typed)}" if isinstance(typed, str) else f"type is {kind(typed)}"
        raise InvalidField("bad_condition", f"condition: {said}", f"type is one of {', '.join(_BY_TYPE)}")
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
            raise InvalidField("missing_field", f"{typed} needs {_article(name)}", f"like {EXAMPLES[typed]}")
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
        given["expires_at_us"] = read_expires(sent, now_us)
    terms = Terms(**given)
    if (terms.repeat is Repeat.CANDLE) != (terms.candle is not None):
        raise InvalidField(
            "bad_repeat",
            "repeat by candle and the candle's interval go together",
            '"repeat":"candle","candle":"1h"',
        )
    if terms.holds_for_s and c.is_momentary(condition):
        raise InvalidField(
            "bad_holds_for",
            "a failed job, or a crossing either way, is over at once and cannot hold",
            'a crosses with "direction":"up" or "down" can',
        )
    if terms.confirmed_on > 1 and c.is_momentary(condition):
        raise InvalidField(
            "bad_confirmed_on",
            "a crossing either way is over at once, before another exchange can confirm it",
            'a crosses with "direction":"up" or "down" can be confirmed',
        )
    if terms.confirmed_on > 1 and not c.is_of_markets(condition):
        raise InvalidField(
            "bad_confirmed_on",
            f"no exchange can confirm what is not asked of each: {words(condition)}",
            "leave confirmed_on out, or watch the trades or candles of the exchanges",
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


def _parts(value: Any, typed: str, depth: int) -> tuple[c.Condition, ...]:
    hint = f"like {EXAMPLES[typed]}"
    if not isinstance(value, list):
        raise InvalidField("bad_condition", f"{typed}: of is {kind(value)}", hint)
    if not 1 <= len(value) <= MAX_PARTS:
        raise InvalidField("bad_condition", f"{typed} has {len(value)} parts", f"1 to {MAX_PARTS} conditions")
    if depth >= MAX_DEPTH:
        raise InvalidField("bad_condition", "conditions are nested too deeply", f"at most {MAX_DEPTH} deep")
    return tuple(read_condition(part, depth=depth + 1) for part in value)


def _completed(made: type, given: dict[str, Any]) -> dict[str, Any]:
    if made is c.Volume and "usual_s" not in given:
        given["usual_s"] = max(DAY_S, 10 * given["over_s"])
    return given


def _refuse_contradictions(condition: c.Condition) -> None:
    match condition:
        case c.Priced(source=source, interval=interval) if (source is c.Source.CANDLE) != bool(interval):
            raise InvalidField(
                "bad_interval",
                "source candle and the candles' interval go together",
                '"source":"candle","interval":"1h"',
            )
        case c.AverageCross(fast=fast, slow=slow) if fast >= slow:
            raise InvalidField(
                "bad_fast", f"fast is {fast} and slow is {slow}", "fewer candles fast than slow"
            )
        case c.Spread(exchanges=(one, other)) if one == other:
            raise InvalidField("bad_exchanges", f"both exchanges are {one}", "two different ones")
        case c.Volume(over_s=over_s, usual_s=usual_s) if usual_s < 2 * over_s:
            raise InvalidField(
                "bad_usual", "usual is shorter than two windows", "at least twice as long as over"
            )
        case _:
            pass


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
    ("source", "source", read_choice(c.Source)),
    ("interval", "interval", read_choice(Interval)),
]
_FIELDS: dict[type, _Fields] = {
    c.Above: [("price", "price", read_price), *_SOURCE],
    c.Below: [("price", "price", read_price), *_SOURCE],
    c.Crosses: [("price", "price", read_price), ("direction", "way", read_choice(c.Way)), *_SOURCE],
    c.Change: [
        ("percent", "percent", read_percent),
        ("within", "within_s", read_window),
        ("direction", "way", read_choice(c.Move)),
        *_SOURCE,
    ],
    c.NewHigh: [("over", "over_s", read_window), *_SOURCE],
    c.NewLow: [("over", "over_s", read_window), *_SOURCE],
    c.FromAverage: [("percent", "percent", read_percent), ("direction", "side", read_choice(c.Side))],
    c.Spread: [("exchanges", "exchanges", read_exchanges), ("percent", "percent", read_percent)],
    c.Volume: [
        ("over", "over_s", read_window),
        ("times", "times", read_times),
        ("usual", "usual_s", read_window),
    ],
    c.AverageCross: [
        ("fast", "fast", read_count(1, 500)),
        ("slow", "slow", read_count(2, 500)),
        ("interval", "interval", read_choice(Interval)),
        ("direction", "way", read_choice(c.Way)),
        ("average", "average", read_choice(c.MovingAverage)),
    ],
    c.Rsi: [
        ("level", "level", read_level),
        ("direction", "side", read_choice(c.Direction)),
        ("interval", "interval", read_choice(Interval)),
        ("period", "period", read_count(2, 200)),
    ],
    c.FearGreed: [("level", "level", read_level), ("direction", "side", read_choice(c.Direction))],
    c.Sentiment: [("level", "level", read_level), ("direction", "side", read_choice(c.Direction))],
    c.Silent: [("for", "for_s", read_rather_short)],
    c.OpenGap: [],
    c.JobFailed: [("job", "job", read_job)],
    c.Depeg: [("percent", "percent", read_percent), ("peg", "peg", read_price), *_SOURCE],
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
    ("holds_for", "holds_for_s", read_rather_short),
    ("confirmed_on", "confirmed_on", read_count(1, 50)),
    ("repeat", "repeat", read_choice(Repeat)),
    ("candle", "candle", read_choice(Interval)),
    ("hysteresis", "hysteresis", read_hysteresis),
    ("cooldown", "cooldown_s", read_rather_short),
    ("quiet_hours", "quiet", read_quiet),
    ("template", "template", read_template),
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
    "job_failed": '{"type":"job_failed"}',
    "depeg": '{"type":"depeg","percent":0.5}',
    "all": '{"type":"all","of":[{"type":"above","price":1.0},{"type":"silent","for":"1m"}]}',
    "any": '{"type":"any","of":[{"type":"above","price":1.0},{"type":"gap"}]}',
}
"""Of each condition one that can be sent so."""
