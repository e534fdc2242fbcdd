"""Errors of the command line: one line for people, one JSON object for programs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from typer.exceptions import TyperException

from app.cli.output import print_json_line
from app.cli.shapes import ErrorReport
from coinwatch.errors import (
    CoinwatchError,
    EndpointUnreachable,
    NoDatabase,
    Retryable,
    WarehouseUnavailable,
)

USAGE_ERROR = "usage_error"


class NotRunning(CoinwatchError):
    """A command needs services that are not running. ``hint`` is what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} ({hint})")
        self.hint = hint


class AlreadyRunning(CoinwatchError):
    """A second ``coinwatch up`` on a data folder. ``hint`` is how to stop the first."""

    def __init__(self, pid: int, folder: Path, *, demo: bool) -> None:
        self.hint = f"stop it by: coinwatch down{' --demo' if demo else ''}"
        super().__init__(f"`coinwatch up` (pid {pid}) runs on {folder} already ({self.hint})")


_RETRYABLE = (Retryable, EndpointUnreachable, WarehouseUnavailable, NoDatabase, NotRunning)


def report(error: CoinwatchError | TyperException) -> ErrorReport:
    """What programs see of ``error``. Pure: no I/O."""
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help" if context else "coinwatch --help"
        return ErrorReport(USAGE_ERROR, error.format_message(), hint, retryable=False)
    advice: str | None = getattr(error, "hint", None)
    return ErrorReport(
        getattr(error, "code", _snake_case(type(error).__name__)),
        str(error).removesuffix(f" ({advice})"),
        advice,
        retryable=isinstance(error, _RETRYABLE),
    )


def print_error(error: CoinwatchError | TyperException, *, as_json: bool) -> None:
    """Print ``error`` on stderr, as one line or as one JSON object."""
    if as_json:
        print_json_line(report(error), file=sys.stderr)
    else:
        print(f"coinwatch: {error}", file=sys.stderr)  # noqa: T201


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
