"""Announcements that are not processed yet.

They are read from the socket at once, so that Postgres never waits for this process.
"""

from __future__ import annotations

import asyncio
from collections import deque

from psycopg import Notify

MAX_WAITING = 50_000


class NotifyQueue:
    """Announcements in the order of commits. When there are too many, it restarts instead of growing."""

    def __init__(self) -> None:
        self._waiting: deque[Notify] = deque()
        self._changed = asyncio.Event()
        self._listening = asyncio.Event()
        self._restarted = True

    def __len__(self) -> int:
        return len(self._waiting)

    def restart(self) -> None:
        """Start listening (again): what was announced before must be read from the warehouse."""
        self._waiting.clear()
        self._restarted = True
        self._listening.set()
        self._changed.set()

    def put(self, notify: Notify) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self.restart()
        self._waiting.append(notify)
        self._changed.set()

    async def started(self) -> None:
        """Wait until listening has started. Every later announcement will be queued."""
        await self._listening.wait()
        self._restarted = False

    async def take(self, timeout_s: float) -> list[Notify] | None:
        """All queued announcements; an empty list after ``timeout_s`` or earlier; None after a restart, when
        announcements may be missing."""
        if not self._waiting and not self._restarted:
            self._changed.clear()
            # A thousand times a second: a fraction of what asyncio.timeout takes.
            timer = asyncio.get_running_loop().call_later(timeout_s, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                timer.cancel()
        if self._restarted:
            return None
        taken = list(self._waiting)
        self._waiting.clear()
        return taken
