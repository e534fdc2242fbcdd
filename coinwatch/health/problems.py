"""Why a service does not work, and the body of ``/healthz``. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from coinwatch.errors import WarehouseError, WarehouseFull, WarehouseReadOnly, WarehouseUnavailable


class Code(StrEnum):
    """A problem, for programs. Codes may be added; those here stay."""

    DATABASE_UNAVAILABLE = "database_unavailable"
    DATABASE_FULL = "database_full"
    DATABASE_READ_ONLY = "database_read_only"
    DATABASE_REFUSES = "database_refuses"
    DISK_FULL = "disk_full"
    SPOOL_FULL = "spool_full"
    MARKETS_DOWN = "markets_down"
    COMMITS_MISSED = "commits_missed"
    EVENTS_UNREAD = "events_unread"


class Problem(msgspec.Struct, frozen=True):
    """A reason why a service does not work now."""

    code: Code
    message: str
    """What happened and what to do, in one line."""


def problems_in(detail: Mapping[str, Any]) -> tuple[Problem, ...]:
    """The problems that a heartbeat reports; empty when it reports none."""
    try:
        return msgspec.convert(detail.get("problems", ()), tuple[Problem, ...])
    except msgspec.ValidationError:  # of another version
        return ()


def code_of(error: WarehouseError) -> Code:
    """The code of a failure of Postgres."""
    match error:
        case WarehouseFull():
            return Code.DATABASE_FULL
        case WarehouseReadOnly():
            return Code.DATABASE_READ_ONLY
        case WarehouseUnavailable():
            return Code.DATABASE_UNAVAILABLE
    return Code.DATABASE_REFUSES


def body(problems: Iterable[Problem], detail: Mapping[str, object]) -> dict[str, object]:
    """The body of ``/healthz``: the status, the reasons unless it is ``ok``, then ``detail``."""
    reasons = list(problems)
    if not reasons:
        return {"status": "ok", **detail}
    return {"status": "unavailable", "reasons": msgspec.to_builtins(reasons), **detail}


def body_for_unknown_clients(problems: Iterable[Problem]) -> dict[str, object]:
    """The body of ``/healthz`` for those who may not read what the messages name: status and codes."""
    codes = [{"code": problem.code.value} for problem in problems]
    return {"status": "unavailable", "reasons": codes} if codes else {"status": "ok"}
