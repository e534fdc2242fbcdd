"""Whether a server that starts makes progress."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from coinwatch.formats import size

SILENCE_S = 60.0
"""A start fails when the server makes no progress for this long; recovery itself may take hours."""
FULL_DISK_S, RECOVERY_BYTES = 10.0, 1_000_000
"""With less space a recovery cannot end: the server begins another one at once, for ever, or hangs, also when
there is space again."""


class StartProgress:
    """Watches a server in ``folder`` from before its start until it accepts connections."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._began = self._silent_since = time.monotonic()
        self._last: object = None
        self.was_full = self._free_bytes() < RECOVERY_BYTES
        """Whether the disk was full at any time since; then the server does not recover by itself."""

    def why_stuck(self, progress: object) -> str | None:
        """Why waiting any longer is in vain; None as long as it is not.

        ``progress`` changes whenever the server has done anything.
        """
        now, free_bytes = time.monotonic(), self._free_bytes()
        if progress != self._last:
            self._last, self._silent_since = progress, now
        is_full = free_bytes < RECOVERY_BYTES
        self.was_full = self.was_full or is_full
        if self.was_full and now - (self._began if is_full else self._silent_since) > FULL_DISK_S:
            return f"did not recover, because its disk was full; {size(free_bytes)} are free now"
        if now - self._silent_since > SILENCE_S:
            return f"is starting, but has made no progress for {SILENCE_S:.0f} s"
        return None

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._folder).free
