"""Prometheus metrics of the daemon, counted per read or per commit, never per trade."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_COMMIT_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_LONG_US = 1 << 62
_LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Delays:
    """The least delay of a trade, from its exchange's clock to ours, over the last minute or two.

    A trade cannot arrive before it was made: a negative delay means that our clock is behind.
    """

    def __init__(self) -> None:
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def record(self, exchange: str, delay_us: int) -> None:
        """Record that a trade arrived ``delay_us`` after its own time."""
        if delay_us < self._now.get(exchange, _LONG_US):
            self._now[exchange] = delay_us

    def start_minute(self) -> None:
        """Start another minute, and forget the one before the last."""
        self._before, self._now = self._now, {}

    def least_s(self) -> dict[str, float]:
        """The least delay, in seconds, by exchange."""
        return {
            exchange: min(self._now.get(exchange, _LONG_US), self._before.get(exchange, _LONG_US)) / 1e6
            for exchange in self._now.keys() | self._before.keys()
        }


class Metrics:
    """The counters of one daemon, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.received = self._counter("trades_received", "Trades decoded from sockets.", "exchange")
        self.committed = self._counter("trades_committed", "Trades stored.", "exchange")
        self.duplicates = self._counter("trades_duplicate", "Trades dropped because they were stored before.")
        self.refused = self._counter("trades_refused", "Trades that could not be stored; each is logged.")
        self.skipped = self._counter("frames_skipped", "Frames without a trade.", "exchange", "kind")
        self.bad_frames = self._counter("frames_bad", "Frames that could not be read.", "exchange")
        self.rejected = self._counter("markets_rejected", "Markets an exchange refused.", "exchange")
        self.reconnects = self._counter(
            "reconnects", "Connections that ended or could not be made.", "exchange"
        )
        self.delays = Delays()
        self.recovered = self._counter("trades_recovered", "Trades stored by recovery.", "exchange")
        self.gaps = self._counter("gaps_closed", "Stream gaps closed.", "exchange", "state")
        self.spool_bytes = Gauge(
            "coinwatch_ingest_spool_bytes",
            "Bytes in the spool, which grows while Postgres is unavailable.",
            registry=self.registry,
        )
        self.problem = Gauge(
            "coinwatch_ingest_problem",
            "1 for each reason for which /healthz answers 503, else 0.",
            ["code"],
            registry=self.registry,
        )
        self.disk_free_bytes = Gauge(
            "coinwatch_ingest_disk_free_bytes",
            "Free space on the disk of the database (embedded only), the spool and Dagster's files.",
            ["stores"],
            registry=self.registry,
        )
        self.disk_low = Gauge(
            "coinwatch_ingest_disk_low",
            "1 while that is below COINWATCH_DISK_LOW_GB, else 0.",
            ["stores"],
            registry=self.registry,
        )
        self.clock_offset_seconds = Gauge(
            "coinwatch_ingest_clock_offset_seconds",
            "Our clock minus the exchange's, at most: the least delay of a trade in the last minute.",
            ["exchange"],
            registry=self.registry,
        )
        self.connections = Gauge(
            "coinwatch_ingest_connections", "Open sockets.", ["exchange"], registry=self.registry
        )
        self.queue_depth = Gauge(
            "coinwatch_ingest_queue_depth", "Trades waiting for a commit.", registry=self.registry
        )
        self.commit_seconds = Histogram(
            "coinwatch_ingest_commit_seconds",
            "Duration of a commit.",
            buckets=_COMMIT_BUCKETS_S,
            registry=self.registry,
        )
        self.lag_seconds = Histogram(
            "coinwatch_ingest_lag_seconds",
            "From the exchange's clock to our commit, for the newest trade of each market in a commit.",
            ["exchange"],
            buckets=_LAG_BUCKETS_S,
            registry=self.registry,
        )

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"coinwatch_ingest_{name}", meaning, labels, registry=self.registry)
