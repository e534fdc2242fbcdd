"""Moments as viewers type them, and as addresses and fields show them. Pure: no I/O."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from coinwatch.errors import CoinwatchError
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, from_datetime, to_datetime

_FORMS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%H:%M:%S", "%H:%M")


def parse(raw: str, now_us: int, zone: tzinfo = UTC) -> int | None:
    """A moment in any usual form: ``10:30``, ``2026-11-21 10:30:05``, ISO 8601.

    It is in ``zone`` unless it names one. None for an empty text and ``now``. A time without a date is the
    latest such time. Raises CoinwatchError with the correct form.
    """
    typed = raw.strip()
    if typed.lower() in ("", "now", "live"):
        return None
    now = datetime.fromtimestamp(now_us / SECOND_US, zone)
    for form in _FORMS:
        try:
            moment = datetime.strptime(typed, form).replace(tzinfo=zone)
        except ValueError:
            continue
        if "%Y" not in form:
            moment = moment.replace(year=now.year, month=now.month, day=now.day)
            if moment > now:
                return _checked(from_datetime(moment.astimezone(UTC)) - DAY_US, now_us)
        return _checked(from_datetime(moment.astimezone(UTC)), now_us)
    try:
        moment = datetime.fromisoformat(typed)
    except ValueError:
        raise CoinwatchError(
            f"{raw[:40]!r} is not a time; write it like 10:30, 2026-11-21 10:30:05 or now"
        ) from None
    return _checked(from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=zone)), now_us)


def retyped(raw: str, now_us: int, zone: tzinfo) -> str:
    """``raw`` as a viewer in ``zone`` would type it; unchanged when it is not a moment."""
    try:
        at_us = parse(raw, now_us, zone)
    except CoinwatchError:
        return raw
    return "" if at_us is None else as_typed(at_us, zone)


def iso(at_us: int) -> str:
    """For addresses: ``2026-11-21T10:30:05Z``."""
    return f"{to_datetime(at_us):%Y-%m-%dT%H:%M:%SZ}"


def as_typed(at_us: int, zone: tzinfo) -> str:
    """As a viewer in ``zone`` would type it: ``2026-11-21 10:30:05``, or without the seconds."""
    local = to_datetime(at_us).astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S}" if local.second else f"{local:%Y-%m-%d %H:%M}"


def _checked(at_us: int, now_us: int) -> int:
    if at_us > now_us + MINUTE_US:
        raise CoinwatchError("that time is in the future; write a past one, or now")
    return at_us
