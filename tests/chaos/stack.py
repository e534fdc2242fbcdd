"""``coinwatch up`` as a process, and kills of whatever it runs."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil
from sqlalchemy import URL

from app.cli.runner import data_folder, marks
from coinwatch.records import Market
from simulator.server import Simulator
from tests.app.cli.processes import COINWATCH, clean_environment
from tests.chaos.stored_trades import StoredTrades
from tests.waiting import eventually
from warehouse.embedded import postmaster
from warehouse.embedded.ports import is_free
from warehouse.embedded.server import EmbeddedPostgres

STARTS_WITHIN_S = 60
COMPLETE_WITHIN_S = 120
UP, POSTGRES = "up", "postgres"


class Stack(StoredTrades):
    """The whole stack on a data folder of its own."""

    def __init__(self, folder: Path, simulator: Simulator, markets: Sequence[Market]) -> None:
        super().__init__(simulator, markets)
        self.data_dir = folder / "data"
        self.output = folder / "output.log"
        self.server = EmbeddedPostgres(self.data_dir / "postgres")
        self._folder = folder
        ports = free_fixed_ports(4)
        settings = {
            **simulator.settings_overrides(),
            "markets": ",".join(map(str, markets)),
            "data_dir": str(self.data_dir),
            "rate_limit_scale": "1000",
            "first_reach_s": "2",
            "log_format": "json",
            **{
                f"{name}_port": str(port)
                for name, port in zip(("ingest", "alerts", "dashboard", "dagster"), ports, strict=True)
            },
        }
        self._temporary = tempfile.TemporaryDirectory(prefix="up-")  # short, for the path of a socket in it
        self._environment = clean_environment(
            folder,
            TMPDIR=self._temporary.name,
            **{f"COINWATCH_{name.upper()}": value for name, value in settings.items()},
        )

    @property
    def url(self) -> URL:
        return self.server.url()

    async def keep_running(self) -> None:
        """Nothing to do: what ended is restarted by ``up``, which must not end by itself."""
        self._check()

    def _check(self) -> None:
        assert self.process.returncode is None, self.output.read_text()[-4_000:]

    async def start(self) -> None:
        """Start ``up``, and return when it holds the data folder; nothing of the last one is left then."""
        last = data_folder.read(self.data_dir)
        with self.output.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(COINWATCH, "up"), cwd=self._folder, env=self._environment, stdout=output, stderr=output
            )

        def holds() -> bool:
            record = data_folder.read(self.data_dir)
            return self.process.returncode is not None or bool(record and record.pid == self.process.pid)

        await eventually(holds, STARTS_WITHIN_S)
        await self.keep_running()
        if last:  # its guard has ended the others, and exits now
            assert marks.parts_of(last.run) <= {data_folder.GUARD}
            await eventually(lambda: not marks.parts_of(last.run))

    async def kill(self, name: str) -> None:
        """kill -9 ``up``, Postgres, or a process of a part. ``up`` is started again, as systemd does."""
        if name == UP:
            self.process.kill()
            await self.process.wait()
            await self.start()
        elif name == POSTGRES:
            server = postmaster.find(self.server.folder / "data")
            assert server is not None
            server.process.kill()
        else:
            random.choice(self.processes()[name]).kill()

    def processes(self) -> dict[str, list[psutil.Process]]:
        """What can be killed, by the name of the part."""
        self._check()
        record = data_folder.read(self.data_dir)
        assert record is not None
        names: dict[str, list[psutil.Process]] = {UP: [psutil.Process(self.process.pid)]}
        for process, part in marks.processes(record.run):
            names.setdefault(part, []).append(process)
        if server := postmaster.find(self.server.folder / "data"):
            names[POSTGRES] = [server.process]
        return names

    async def complete(self) -> None:
        """Wait until ``up`` has announced that all parts are healthy, once more than before."""
        before = self._announcements()
        await eventually(lambda: self._announcements() > before, COMPLETE_WITHIN_S)

    def _announcements(self) -> int:
        return self.output.read_text().count("Coinwatch is running")

    async def down(self) -> None:
        """``coinwatch down``."""
        command = await asyncio.create_subprocess_exec(
            *(COINWATCH, "down"), cwd=self._folder, env=self._environment
        )
        assert await command.wait() == 0
        assert await self.process.wait() == 0

    def leftovers(self) -> list[str]:
        """The command lines of all processes that use the data folder, and folders of sockets."""
        using = [str(folder) for folder in Path(self._temporary.name).glob("coinwatch-*")]
        for process in psutil.process_iter():
            try:
                command = " ".join(process.cmdline())
                variables = process.environ() if process.pid != psutil.Process().pid else {}
            except psutil.Error:
                continue
            if str(self.data_dir) in command or str(self.data_dir) in variables.values():
                using.append(command)
        return using


def free_fixed_ports(count: int) -> list[int]:
    """Ports that no outgoing connection is given while a part is down: below the ephemeral range."""
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.randrange(20_000, 32_000)
        if port not in chosen and is_free(port):
            chosen.append(port)
    return chosen
