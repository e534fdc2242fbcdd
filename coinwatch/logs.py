"""Logging: readable lines on a terminal, one JSON object per line elsewhere."""

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
        structlog.dev.ConsoleRenderer(colors=_has_colours(), pad_event_to=0)
        if readable
        else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if readable else "iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if not readable:
        shared.append(structlog.processors.format_exc_info)
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
    if not readable:
        structlog.contextvars.bind_contextvars(service=service)


def _has_colours() -> bool:
    """Whether stderr shows colours: a terminal, and NO_COLOR (no-color.org) is not set."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
