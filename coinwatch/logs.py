"""Logging: lines a person can read on a terminal, one JSON object a line anywhere else."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

LogFormat = Literal["auto", "console", "json"]


def configure(service: str, *, log_format: LogFormat = "auto", level: str = "info") -> None:
    """Set up structlog and the standard library's logging for this process.

    ``service`` is named in every JSON line. ``auto`` means readable when stderr is a terminal.
    """
    readable = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
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
    for chatty in ("alembic", "httpcore", "httpx", "picows", "uvicorn", "websockets"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.root.level))
    if not readable:
        structlog.contextvars.bind_contextvars(service=service)
