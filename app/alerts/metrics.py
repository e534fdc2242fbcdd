"""What the endpoint counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from coinwatch.health.problems import Code, Problem

_LATENCY_BUCKETS_S = (0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1, 2, 5, 10)


class Metrics:
    """One set for each endpoint; nothing global, so two can live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.answers = Counter(
            "coinwatch_alerts_answers",
            "Commands answered: ack, or the code of the error.",
            ["result"],
            registry=self._registry,
        )
        self.moves = Counter(
            "coinwatch_alerts_moves", "Moves of a market looked at.", registry=self._registry
        )
        self.claimed = Counter(
            "coinwatch_alerts_claimed", "Rules this endpoint fired.", registry=self._registry
        )
        self.lost_claims = Counter(
            "coinwatch_alerts_lost_claims",
            "Rules another endpoint fired, or that changed meanwhile.",
            registry=self._registry,
        )
        self.delivered = Counter(
            "coinwatch_alerts_delivered", "Alerts queued for a connection.", registry=self._registry
        )
        self.slow = Counter(
            "coinwatch_alerts_slow_consumers", "Connections cut off as too slow.", registry=self._registry
        )
        self.turned_away = Counter(
            "coinwatch_alerts_turned_away",
            "Connections refused or cut off, by the reason.",
            ["reason"],
            registry=self._registry,
        )
        self.catch_ups = Counter(
            "coinwatch_alerts_catch_ups",
            "Times that missed commits were read from the warehouse.",
            registry=self._registry,
        )
        self.claim_s = Histogram(
            "coinwatch_alerts_claim_seconds",
            "From the notice of a commit to its alerts stored.",
            buckets=_LATENCY_BUCKETS_S,
            registry=self._registry,
        )

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge that is read when asked."""
        Gauge(f"coinwatch_alerts_{name}", text, registry=self._registry).set_function(read)

    def watch_problems(self, read: Callable[[], Collection[Problem]]) -> None:
        """A gauge for each reason to be unhealthy, read when asked."""
        gauge = Gauge(
            "coinwatch_alerts_problem",
            "1 for each reason for which /healthz answers 503, else 0.",
            ["code"],
            registry=self._registry,
        )

        def is_present(code: Code) -> float:
            return any(problem.code is code for problem in read())

        for code in Code:
            gauge.labels(code).set_function(partial(is_present, code))

    def text(self) -> str:
        """The exposition format."""
        return generate_latest(self._registry).decode()
