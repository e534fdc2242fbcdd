"""The options of ``coinwatch watch`` as conditions and terms of the alert protocol. Pure: no I/O.

The options of conditions come from the registry of conditions.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from coinwatch.alerts.condition_parser import read_condition
from coinwatch.alerts.conditions import Declaration, singles
from coinwatch.alerts.conditions.options import Companion, Option
from coinwatch.alerts.field_parsers import InvalidField

_ON_CLOSE = Companion("on_close", "interval", "Use the closes of candles of this interval, not each trade.")
_ON_AVERAGE = Companion(
    "on_average", "source", "Use the average across exchanges, not each trade.", value=bool
)
SOURCES = (_ON_CLOSE, _ON_AVERAGE)
"""Companions of every condition that has a choice of price source."""
CONDITION = "condition"
"""The option that takes the JSON of any condition."""


def condition_options() -> Iterator[Option]:
    """Every option that makes a condition, in the order of the registry."""
    for declared in singles().values():
        yield from declared.options


def companions() -> Iterator[Companion]:
    """Every option that only completes others, each once."""
    seen = {companion.name: companion for option in condition_options() for companion in option.companions}
    yield from (*seen.values(), *SOURCES)


def parameters() -> list[inspect.Parameter]:
    """The options of conditions and their companions, as parameters of a command."""
    options = [(option.name, option.value, option.hint) for option in condition_options()]
    options += [(companion.name, companion.value, companion.hint) for companion in companions()]
    return [_parameter(*option) for option in options]


def conditions(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A condition, as JSON, for each option that makes one. Raises typer.BadParameter.

    Args:
        options: the options by name; None or False for those that are not given.
    """
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    made: list[dict[str, Any]] = []
    used = {CONDITION}
    if CONDITION in given:
        made.append(_checked(given[CONDITION], {}, CONDITION))
    for declared in singles().values():
        for option in declared.options:
            if option.name in given:
                made.append(_condition(declared, option, given))
                used.add(option.name)
                used.update(companion.name for companion in _companions_of(declared, option))
    for name in given:
        if name not in used:
            raise typer.BadParameter(f"{_flag(name)} belongs to none of the given conditions")
    return made


def terms(options: Mapping[str, Any]) -> dict[str, Any]:
    """The terms among the options, as JSON. Raises typer.BadParameter."""
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    if given.pop("repeat", None):
        given["repeat"] = "every"
    if candle := given.pop("once_per", None):
        given |= {"repeat": "candle", "candle": candle}
    if quiet := given.pop("quiet", None):
        given["quiet_hours"] = _quiet(quiet)
    return given


def _parameter(name: str, value: type, hint: str) -> inspect.Parameter:
    is_flag = value is bool
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=False if is_flag else None,
        annotation=Annotated[value if is_flag else value | None, typer.Option(_flag(name), help=hint)],
    )


def _condition(declared: Declaration, option: Option, given: Mapping[str, Any]) -> dict[str, Any]:
    value = given[option.name]
    fields = {"type": declared.type}
    if option.fills is not None:
        fields[option.fills] = value
    if option.parse is not None:
        try:
            fields |= option.parse(value)
        except InvalidField as error:
            raise typer.BadParameter(f"{error}; {error.hint}") from None
    fields |= option.fixed
    filled_by = {option.fills or "": option.name}
    for companion in option.companions:
        if companion.name in given:
            filled = given[companion.name]
            fields[companion.fills] = filled if companion.parse is None else companion.parse(filled)
            filled_by[companion.fills] = companion.name
        elif companion.is_required:
            raise typer.BadParameter(f"{_flag(option.name)} needs {_flag(companion.name)}")
    if declared.has_source:
        fields |= _source(given)
        filled_by.setdefault("interval", _ON_CLOSE.name)
    return _checked(fields, filled_by, option.name)


def _checked(fields: dict[str, Any], filled_by: Mapping[str, str], name: str) -> dict[str, Any]:
    """``fields``, if they make a condition. ``filled_by``: the option of each field, else ``name``."""
    try:
        read_condition(fields)
    except InvalidField as error:
        flag = _flag(filled_by.get(error.code.removeprefix("bad_"), name))
        raise typer.BadParameter(f"{flag}: {error} ({error.hint})") from None
    return fields


def _companions_of(declared: Declaration, option: Option) -> tuple[Companion, ...]:
    return (*option.companions, *(SOURCES if declared.has_source else ()))


def _source(given: Mapping[str, Any]) -> dict[str, str]:
    if _ON_AVERAGE.name in given and _ON_CLOSE.name in given:
        raise typer.BadParameter(f"give {_flag(_ON_AVERAGE.name)} or {_flag(_ON_CLOSE.name)}, not both")
    if _ON_AVERAGE.name in given:
        return {"source": "average"}
    return {"source": "candle", "interval": given[_ON_CLOSE.name]} if _ON_CLOSE.name in given else {}


def _quiet(text: str) -> dict[str, str]:
    hours, _, zone = text.strip().partition(" ")
    start, dash, end = hours.partition("-")
    if not dash:
        raise typer.BadParameter(f"--quiet is {text!r}; like '22:00-07:00', or '22:00-07:00 Europe/Berlin'")
    return {"from": start, "to": end, "tz": zone.strip() or "UTC"}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
