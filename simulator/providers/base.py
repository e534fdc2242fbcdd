"""The contract of a simulated provider: answers to GET requests, by the documentation of the real one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from coinwatch.records import Market
from simulator.exchanges.base import Answer
from simulator.history import History
from simulator.markets import SimMarket


class Provider(ABC):
    """A simulated provider of fundamentals, sentiment or news."""

    name: ClassVar[str]

    def __init__(self, markets: Mapping[Market, SimMarket], history: History) -> None:
        self.markets, self.history = markets, history

    @abstractmethod
    def rest(self, path: str, params: Mapping[str, str], headers: Mapping[str, str], now_us: int) -> Answer:
        """Answer a GET of ``path`` (below the root); names of ``headers`` are in small letters.

        Raises Refused.
        """
