"""What ``coinwatch watch`` is told to wait for, as conditions and terms of the protocol. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from coinwatch.alerts.condition_parser import InvalidField, read_condition, read_duration

ANY_JOB = "any"


def conditions(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One condition for each option that was given, as JSON. Raises typer.BadParameter.

    ``said``: options by name; None, and False, for those that were not given.
    """
    given = {name: value for name, value in said.items() if value is not None and value is not False}
    made = [_MADE[name](value, given) for name, value in given.items() if name in _MADE]
    used = {other for name in given if name in _MADE for other in _WITH.get(name, ())}
    for name in given:
        if name not in _MADE and name not in used:
            raise typer.BadParameter(f"--{name.replace('_', '-')} belongs to none of what is watched for")
    for one in made:
        if one["type"] in _PRICED and "source" not in one:
            one |= _source(given)
        try:
            read_condition(one)
        except InvalidField as nonsense:
            raise typer.BadParameter(f"{one['type']}: {nonsense} ({nonsense.hint})") from None
    return made


def terms(said: Mapping[str, Any]) -> dict[str, Any]:
    """The terms among the options, as JSON. Raises typer.BadParameter."""
    told = {name: value for name, value in said.items() if value is not None and value is not False}
    if told.pop("repeat", None):
        told["repeat"] = "every"
    if candle := told.pop("once_per", None):
        told |= {"repeat": "candle", "candle": candle}
    if quiet := told.pop("quiet", None):
        told["quiet_hours"] = _quiet(quiet)
    return told


def _quiet(text: str) -> dict[str, str]:
    hours, _, zone = text.strip().partition(" ")
    start, dash, end = hours.partition("-")
    if not dash:
        raise typer.BadParameter(f"--quiet is {text!r}; like '22:00-07:00', or '22:00-07:00 Europe/Berlin'")
    return {"from": start, "to": end, "tz": zone.strip() or "UTC"}


def _source(given: Mapping[str, Any]) -> dict[str, str]:
    if "on_average" in given and "on_close" in given:
        raise typer.BadParameter("give --on-average or --on-close, not both")
    if "on_average" in given:
        return {"source": "average"}
    return {"source": "candle", "interval": given["on_close"]} if "on_close" in given else {}


def _needed(given: Mapping[str, Any], name: str, of: str) -> Any:
    if name not in given:
        raise typer.BadParameter(f"{of} needs --{name.replace('_', '-')}")
    return given[name]


def _within(given: Mapping[str, Any], of: str) -> str | int:
    within = _needed(given, "within", of)
    try:
        read_duration(within, "within")
    except InvalidField as nonsense:
        raise typer.BadParameter(f"--within: {nonsense} ({nonsense.hint})") from None
    return str(within)


def _move(direction: str) -> Any:
    def make(percent: float, given: Mapping[str, Any]) -> dict[str, Any]:
        within = _within(given, "how far it moves")
        return {"type": "change", "percent": percent, "within": within, "direction": direction}

    return make


def _level(kind: str, direction: str) -> Any:
    return lambda level, given: {"type": kind, "level": level, "direction": direction}


def _rsi(direction: str) -> Any:
    return lambda level, given: {
        "type": "rsi",
        "level": level,
        "direction": direction,
        "interval": _needed(given, "interval", "the RSI"),
    }


def _ma_cross(text: str, given: Mapping[str, Any]) -> dict[str, Any]:
    fast, _, slow = text.partition(",")
    if not (fast.strip().isdecimal() and slow.strip().isdecimal()):
        raise typer.BadParameter(f"--ma-cross is {text!r}; like 50,200")
    told = {"type": "ma_cross", "fast": int(fast), "slow": int(slow)}
    told["interval"] = _needed(given, "interval", "--ma-cross")
    return told | ({"direction": given["direction"]} if "direction" in given else {})


def _crosses(price: float, given: Mapping[str, Any]) -> dict[str, Any]:
    way = {"direction": given["direction"]} if "direction" in given else {}
    return {"type": "crosses", "price": price, **way}


def _spread(percent: float, given: Mapping[str, Any]) -> dict[str, Any]:
    exchanges = [one.strip() for one in _needed(given, "between", "--spread").split(",")]
    return {"type": "spread", "percent": percent, "exchanges": exchanges}


def _volume(times: float, given: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "volume", "times": times, "over": _within(given, "--volume")}


def _job(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "job_failed"} if name == ANY_JOB else {"type": "job_failed", "job": name}


_MADE: dict[str, Any] = {
    "above": lambda price, given: {"type": "above", "price": price},
    "below": lambda price, given: {"type": "below", "price": price},
    "crosses": _crosses,
    "rises": _move("rise"),
    "falls": _move("fall"),
    "moves": _move("either"),
    "new_high": lambda over, given: {"type": "new_high", "over": over},
    "new_low": lambda over, given: {"type": "new_low", "over": over},
    "off_average": lambda percent, given: {"type": "from_average", "percent": percent},
    "spread": _spread,
    "volume": _volume,
    "ma_cross": _ma_cross,
    "rsi_above": _rsi("above"),
    "rsi_below": _rsi("below"),
    "greed_above": _level("fear_greed", "above"),
    "fear_below": _level("fear_greed", "below"),
    "sentiment_above": _level("sentiment", "above"),
    "sentiment_below": _level("sentiment", "below"),
    "silent": lambda length, given: {"type": "silent", "for": length},
    "gap": lambda _, given: {"type": "gap"},
    "depeg": lambda percent, given: {"type": "depeg", "percent": percent},
    "job_failed": _job,
    "condition": lambda condition, given: condition,
}
_PRICED = ("above", "below", "crosses", "change", "new_high", "new_low", "depeg")
_SOURCED = ("on_average", "on_close")
_WITH = {
    "above": _SOURCED,
    "below": _SOURCED,
    "crosses": ("direction", *_SOURCED),
    "rises": ("within", *_SOURCED),
    "falls": ("within", *_SOURCED),
    "moves": ("within", *_SOURCED),
    "new_high": _SOURCED,
    "new_low": _SOURCED,
    "depeg": _SOURCED,
    "spread": ("between",),
    "volume": ("within",),
    "ma_cross": ("interval", "direction"),
    "rsi_above": ("interval",),
    "rsi_below": ("interval",),
}
