"""The processes of a data folder, identified so that a reused pid is never taken for ours."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

_ANSWER_S = 2.0
_MAY_I_ENCRYPT = bytes.fromhex("00000008 04d2162f")
"""SSLRequest of the protocol: a server replies with a letter before authentication."""


@dataclass(frozen=True)
class Postmaster:
    """A live server: its main process, where it listens, and its state."""

    process: psutil.Process
    port: int
    socket_folder: str
    status: str
    """``starting``, ``ready``, ``stopping``; empty in its first instant."""

    def takes_connections(self) -> bool:
        """Whether it is up. Sends a request, because a server just killed still looks alive."""
        if self.status != "ready":
            return False
        try:
            with socket.create_connection(("127.0.0.1", self.port), _ANSWER_S) as asking:
                asking.sendall(_MAY_I_ENCRYPT)
                return asking.recv(1) != b""
        except OSError:
            return False

    def work_done(self) -> float:
        """CPU seconds used by the server and its children: grows while it makes progress."""
        total = 0.0
        for process in (self.process, *_children(self.process)):
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system
        return total


def find(data: Path) -> Postmaster | None:
    """The live postmaster of the data folder, or None.

    ``postmaster.pid`` outlives a crash and a reboot, so the process it names counts only when its
    command line is that of the postmaster of this folder. (Command lines are readable
    everywhere; a process's working directory is not, for root in a container.) A relative folder of the
    socket is one in the data folder.
    """
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        if not _is_postmaster(process.cmdline(), data):
            return None
        port = int(lines[3])
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    rest = [*lines[4:], "", "", "", ""]
    return Postmaster(process, port, os.path.normpath(data / rest[0]), rest[3].strip())


def _is_postmaster(command: list[str], data: Path) -> bool:
    # By the folder alone, for servers that a version before 0.2 has started.
    ours = identifying_option(data) in command or command[1:3] == ["-D", str(data)]
    return bool(command) and Path(command[0]).name == "postgres" and ours


def identifying_option(data: Path) -> str:
    """The argument by which a postmaster is recognised as that of the data folder."""
    return f"--cluster_name={cluster_name(data)}"


def cluster_name(data: Path) -> str:
    """The name that every child of this folder's server carries in its process title."""
    return f"coinwatch-{hashlib.sha256(bytes(data)).hexdigest()[:12]}"


def end_orphans(data: Path, grace_s: float) -> None:
    """Wait for the children of a killed postmaster to leave, and end those that do not.

    They notice its death, but a child that is stopped or busy computing stays, and Postgres does not start
    while it holds the shared memory. Only call when there is no postmaster.
    """
    deadline = time.monotonic() + grace_s
    while orphans := _orphans(data):
        if time.monotonic() > deadline:
            for process in orphans:
                process.send_signal(signal.SIGKILL)
            psutil.wait_procs(orphans, timeout=grace_s)
            return
        time.sleep(0.02)


def _orphans(data: Path) -> list[psutil.Process]:
    title = f"postgres: {cluster_name(data)}: "
    children = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if command and command[0].startswith(title):
            children.append(process)
    return children


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.Error:
        return []
