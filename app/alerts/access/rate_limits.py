"""Limits of a client: commands a second, and connections at once."""

from __future__ import annotations

import resource
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address

import structlog

BURST_S = 10.0
"""So many seconds of commands may come at once; as many more are refused before it is a flood."""
CROWD = 200
"""So many connections over the limit get an HTTP response; further ones are dropped."""
SPARE_FILES = 500
"""Open files of the endpoint besides its connections, including those over the limit."""

log = structlog.get_logger(__name__)


class Pace:
    """A token bucket that can be overdrawn: refused commands cost a token, too.

    A client that waits as long as the refusal states is served again. One that keeps sending reaches the
    bottom, which counts as a flood.
    """

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = max(1.0, per_s * BURST_S)
        self._level = self._burst
        self._clock = clock
        self._at_s = clock()

    def take(self) -> float:
        """Count a command and return 0 if it is allowed, else in how many seconds the next is."""
        self._refill()
        may = self._level >= 1
        self._level = max(-self._burst, self._level - 1)
        return 0.0 if may else (1 - self._level) / self._per_s

    @property
    def is_flood(self) -> bool:
        """Whether far more commands came than allowed, for long."""
        return self._level <= -self._burst

    @property
    def is_rested(self) -> bool:
        """Whether the bucket is full."""
        self._refill()
        return self._level >= self._burst

    def _refill(self) -> None:
        now_s = self._clock()
        self._level = min(self._burst, self._level + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s


class Paces:
    """A pace for all connections of a client. It is kept after they close until its bucket is full."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._clock = clock
        self._used: dict[str, tuple[Pace, int]] = {}
        """With the number of connections that share each."""
        self._resting: OrderedDict[str, Pace] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used) + len(self._resting)

    @contextmanager
    def of(self, client: str) -> Iterator[Pace]:
        """The pace of ``client``, for one connection of it."""
        while self._resting and next(iter(self._resting.values())).is_rested:
            self._resting.popitem(last=False)
        if client in self._used:
            pace, users = self._used[client]
        elif client in self._resting:
            pace, users = self._resting.pop(client), 0
        else:
            pace, users = Pace(self._per_s, self._clock), 0
        self._used[client] = pace, users + 1
        try:
            yield pace
        finally:
            _, users = self._used[client]
            if users > 1:
                self._used[client] = pace, users - 1
            else:
                del self._used[client]
                self._resting[client] = pace


class ConnectionLimiter:
    """Counts connections, in total and by address."""

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._by_address: Counter[str] = Counter()
        self._total = 0

    def enter(self, address: str) -> str | None:
        """Count a connection, and return why it exceeds a limit; None if it does not."""
        self._by_address[address] += 1
        self._total += 1
        if self._by_address[address] > self._most_of_address:
            return f"there are {self._most_of_address} connections from this address already"
        if self._total > self._most:
            return f"there are {self._most} connections already"
        return None

    def is_crowd(self, address: str) -> bool:
        """Whether the limit is exceeded so far that connections are dropped without a response."""
        return self._by_address[address] > self._most_of_address + CROWD or self._total > self._most + CROWD

    def leave(self, address: str) -> None:
        self._total -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


def address_key(host: str) -> str:
    """The key that an address is counted by: of IPv6 the /64, which is the least that providers assign."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))


def allow_files(connections: int) -> None:
    """Raise the limit of open files to what ``connections`` need, or log that this is not possible."""
    wanted = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    can = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (can, hard))
    if can < wanted:
        log.warning(
            "fewer connections than COINWATCH_ALERTS_CONNECTIONS: the limit of open files is low (ulimit -n)",
            connections=can - SPARE_FILES,
        )
