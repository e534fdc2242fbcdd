"""Logs on a terminal and elsewhere."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

LOG = """
import structlog
from coinwatch.logs import configure

configure("test")
structlog.get_logger().info("hello", number=1)
"""


def log_on_terminal(**changes: str) -> bytes:
    """The line as printed on a terminal, with environment variables ``changes``."""
    reading, writing = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-c", LOG],
            stderr=writing,
            env={**os.environ, "NO_COLOR": "", **changes},
            check=True,
        )
        return os.read(reading, 10_000)
    finally:
        os.close(writing)
        os.close(reading)


def test_terminal_shows_colours_unless_no_color_is_set() -> None:
    assert b"\x1b[" in log_on_terminal()
    plain = log_on_terminal(NO_COLOR="1")
    assert b"hello number=1" in plain
    assert b"\x1b[" not in plain


def test_pipe_gets_json_lines() -> None:
    result = subprocess.run([sys.executable, "-c", LOG], stderr=subprocess.PIPE, check=True)
    line = json.loads(result.stderr)
    assert (line["event"], line["number"], line["level"], line["service"]) == ("hello", 1, "info", "test")
