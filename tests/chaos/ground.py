"""Where chaos tests break things: a Postgres, the simulator, and daemons as real programs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy import URL

from coinwatch.records import Market
from simulator.markets import sim_markets
from simulator.server import VENUES, Simulator
from sources.exchanges import EXCHANGES
from tests.chaos.stored_trades import StoredTrades
from warehouse.embedded import postmaster
from warehouse.embedded.ports import free_port
from warehouse.embedded.server import EmbeddedPostgres

COINWATCH = str(Path(sys.executable).parent / "coinwatch")


class Ground(StoredTrades):
    """A run of daemons."""

    def __init__(
        self,
        folder: Path,
        server: EmbeddedPostgres,
        database: str,
        simulator: Simulator,
        markets: Sequence[Market],
    ) -> None:
        super().__init__(simulator, markets)
        self.server = server
        self._url = server.url(database)
        self.daemons: list[asyncio.subprocess.Process] = []
        self._folder = folder
        self._log = folder / "daemons.log"
        self._settings = {
            **simulator.settings_overrides(),
            "markets": ",".join(map(str, markets)),
            "database_url": self.url.set(drivername="postgresql").render_as_string(hide_password=False),
            "data_dir": str(folder / "data"),
            "rate_limit_scale": "1000",
            "first_reach_s": "2",
            "log_format": "json",
        }

    @property
    def url(self) -> URL:
        return self._url

    async def start(self, count: int = 1, **settings: str) -> None:
        """Start ``count`` daemons and wait until their first gaps are filled."""
        self._last_settings = settings
        for _ in range(count):
            self.daemons.append(await self._spawn(settings))
        await self.settled()

    async def _spawn(self, settings: dict[str, str]) -> asyncio.subprocess.Process:
        given = self._settings | settings | {"ingest_port": str(free_port())}
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(COINWATCH, "ingest"),
                cwd=self._folder,
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("COINWATCH")},
                    **{f"COINWATCH_{name.upper()}": value for name, value in given.items()},
                },
                stdout=log,
                stderr=log,
            )

    async def kill(self, index: int = 0, *, again: bool = True) -> None:
        """kill -9 a daemon and start another in its place, unless not ``again``."""
        await _kill(self.daemons[index])
        if again:
            self.daemons[index] = await self._spawn(self._last_settings)
        else:
            del self.daemons[index]

    def log_lines(self, text: str) -> int:
        """How many lines of the daemons' logs contain ``text``."""
        return sum(text in line for line in self._log.read_text().splitlines())

    def kill_postgres(self) -> None:
        """kill -9 the postmaster."""
        server = postmaster.find(self.server.folder / "data")
        assert server is not None
        server.process.kill()

    async def end(self) -> None:
        for daemon in self.daemons:
            await _kill(daemon)

    async def keep_running(self) -> None:
        """Restart daemons that ended, as ``coinwatch up`` does: a start without Postgres fails."""
        for index, daemon in enumerate(self.daemons):
            if daemon.returncode is not None:
                self.daemons[index] = await self._spawn(self._last_settings)


def busiest() -> list[Market]:
    """One market of each exchange that is both streamed and simulated."""
    simulated = {venue.name for venue in VENUES} & EXCHANGES.keys()
    busiest_by_exchange: dict[str, Market] = {}
    for sim in sorted(sim_markets().values(), key=lambda sim: sim.trades_per_s):
        if sim.market.exchange in simulated:
            busiest_by_exchange[sim.market.exchange] = sim.market
    return sorted(busiest_by_exchange.values())


async def _kill(daemon: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        daemon.kill()
    await daemon.wait()
