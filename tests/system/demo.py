"""The demo as a process, with ports and a data folder of its own."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.app.cli.processes import COINWATCH, clean_environment
from tests.waiting import eventually_sync
from warehouse.embedded.ports import free_ports

HEALTHY_WITHIN_S = 60
PORTS = ("INGEST", "ALERTS", "DASHBOARD", "DAGSTER", "SIMULATOR_WS", "SIMULATOR_REST")


class Demo:
    """A running ``coinwatch up --demo``; ``changes`` are environment variables."""

    def __init__(self, folder: Path, coinwatch: str = COINWATCH, **changes: str) -> None:
        self.coinwatch = coinwatch
        self.data_dir = folder / "data"
        self.output = folder / "output.log"
        self.ports = free_ports(len(PORTS))
        ports = {f"COINWATCH_{name}_PORT": str(port) for name, port in zip(PORTS, self.ports, strict=True)}
        # The demo has to be healthy also where little space is left.
        self.environment = clean_environment(folder, COINWATCH_DISK_LOW_GB="0", **ports, **changes)
        self.started = time.monotonic()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [coinwatch, "up", "--demo"],
                cwd=folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def has_printed(self, text: str) -> bool:
        """Whether ``text`` is in the output. AssertionError when the demo has exited."""
        assert self.process.poll() is None, self.output.read_text()[-4_000:]
        return text in self.output.read_text()

    def command(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run another command with the settings of this demo, and ``changes`` of its environment."""
        return subprocess.run(
            [self.coinwatch, *arguments],
            env={**self.environment, **changes},
            cwd=self.data_dir.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def processes(self) -> list[psutil.Process]:
        """Every process that uses the data folder of this demo, in whatever session it is."""
        using = []
        for process in psutil.process_iter():
            try:
                if str(self.data_dir) in " ".join(process.cmdline()) + process.environ().get(
                    "COINWATCH_DATA_DIR", ""
                ):
                    using.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return using

    def listening(self) -> set[tuple[str, int]]:
        """Address and port of every TCP socket on which a process of this demo listens."""
        sockets = set()
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):  # a run that has just ended
                sockets |= {
                    (connection.laddr.ip, connection.laddr.port)
                    for connection in process.net_connections("tcp")
                    if connection.status == psutil.CONN_LISTEN
                }
        return sockets


@contextmanager
def running_demo(
    folder: Path, coinwatch: str = COINWATCH, *, within_s: float = HEALTHY_WITHIN_S, **changes: str
) -> Iterator[Demo]:
    """Start the demo, healthy ``within_s``, and stop it after the block with all that it has started."""
    demo = Demo(folder, coinwatch, **changes)
    try:
        eventually_sync(lambda: demo.has_printed("Coinwatch is running on simulated exchanges"), within_s)
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.process.send_signal(signal.SIGINT)
            demo.process.wait(60)
        for process in demo.processes():
            process.kill()
