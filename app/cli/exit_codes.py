"""Exit codes of every ``coinwatch`` command."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes; ``meaning`` is the sentence shown in help and docs."""

    OK = 0, "Success; also when a service or stream was stopped with Ctrl-C or SIGTERM."
    FAILED = 1, "An error, reported on stderr; or `coinwatch status` detected a problem."
    USAGE = 2, "Unknown command or option, or a missing or invalid value."
    INTERRUPTED = 130, "Interrupted with Ctrl-C before the command was done."

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code
