"""Logging: readable lines on a terminal, one JSON object per line elsewhere.

Tracebacks show lines of code and never the values of variables, which can be secrets.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Literal

import structlog

LogFormat = Literal["auto", "console", "json"]


def configure(service: str, *, log_format: LogFormat = "auto", level: str = "info") -> None:
    """Set up structlog and the standard library's logging for this process.

    Args:
        service: Name of the program; part of every JSON line.
        log_format: ``auto`` is ``console`` when stderr is a terminal, else ``json``.
        level: Minimum level.
    """
    readable = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        _console(colours=_has_colours()) if readable else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if readable else "iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if not readable:
        shared += [_add_service(service), structlog.processors.format_exc_info]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level.upper())
    for verbose in ("alembic", "httpcore", "httpx", "picows", "uvicorn", "websockets"):
        logging.getLogger(verbose).setLevel(max(logging.WARNING, logging.root.level))


def configure_default() -> None:
    """Pass events on to the standard library's logging: for commands, and for Dagster, which configures that.

    Without this, structlog prints them to stdout, with the variables of each frame of a traceback. Does
    nothing where structlog is configured already.
    """
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[structlog.processors.StackInfoRenderer(), _console(colours=False)],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _console(*, colours: bool) -> structlog.dev.ConsoleRenderer:
    # The default formatter of tracebacks shows the local variables of every frame.
    return structlog.dev.ConsoleRenderer(
        colors=colours, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )


def _add_service(service: str) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    return add


def _has_colours() -> bool:
    """Whether stderr shows colours: a terminal, and NO_COLOR (no-color.org) is not set."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
