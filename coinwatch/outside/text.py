"""Text that others wrote, in messages of ours. Pure: no I/O."""

from __future__ import annotations

import re

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What Postgres does not store, and what would begin a new line of a log or move the cursor of a terminal."""


def one_line(text: str, longest: int) -> str:
    """The first ``longest`` characters of ``text``, without those that cannot be logged or stored."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text[:longest])
