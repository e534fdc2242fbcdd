"""Free space of the data folder: measured every few seconds, logged when it becomes low or sufficient."""

from __future__ import annotations

import structlog

from coinwatch.formats import size
from coinwatch.settings import Settings
from ingest_daemon.metrics import Metrics
from warehouse.ops.disks import Disk, Disks

ENOUGH = 1.1
"""Space that was low is sufficient again at this multiple of the limit, so that files that come and go do not
log it over and over."""

log = structlog.get_logger(__name__)


class DiskWatch(Disks):
    """Sets the metrics of each measurement and logs what has changed."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__(settings)
        self._metrics = metrics
        self._low: set[tuple[str, ...]] = set()

    async def measure(self) -> None:
        """Measure now."""
        await super().measure()
        for disk in self.measured:
            for name in disk.stores:
                self._metrics.disk_free_bytes.labels(name).set(disk.free_bytes)
                self._metrics.disk_low.labels(name).set(disk.is_low)
            self._log_change(disk)

    def _log_change(self, disk: Disk) -> None:
        if disk.is_low and disk.stores not in self._low:
            self._low.add(disk.stores)
            log.warning(
                f"disk space is low: {disk}; free some, or lower COINWATCH_TICKS_KEEP_GB",
                low_below=size(disk.low_bytes),
            )
        elif disk.stores in self._low and disk.free_bytes >= ENOUGH * disk.low_bytes:
            self._low.remove(disk.stores)
            log.info(f"disk space is sufficient again: {disk}")
