"""The spool compared with SQLite: python -m bench.spool

Both store the same batches, as the daemon writes them at 20,000 trades a second, with every batch on disk
before the next. SQLite: WAL, synchronous=FULL for batches, NORMAL for removing them, one table, and a CRC of
ours in each row, because its pages have no checksum. Runs alternate, so that a busy machine slows both.

Then both are damaged in the same ways, and the batches that come back whole are counted.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from coinwatch.records import Market, Trade
from coinwatch.settings import DEFAULT_MARKETS
from coinwatch.times import now_us
from ingest_daemon.storage.queue import Batch
from ingest_daemon.storage.spool import Spool, SpoolFull
from ingest_daemon.storage.spool_codec import encode
from warehouse.trades.gaps import LedgerEntries

TRADES_PER_S = 20_000
BATCH_EVERY_S = 0.05
"""As the committer writes them: see SPOOL_EVERY_S there."""
PACED_S = 5.0
BATCHES = 300
ROUNDS = 5
TRIALS = 40
"""Of each kind of damage."""
DAMAGED_BATCHES = 100
CAP_BYTES = 2_000_000_000
SMALL_DISK = "12m"


class Store(Protocol):
    """What the daemon needs of a spool."""

    def append(self, payload: bytes) -> None: ...

    def first(self) -> bytes | None: ...

    def drop_first(self) -> None: ...

    def close(self) -> None: ...


class SqliteSpool:
    """The same interface on one table. Rows whose checksum does not fit are skipped."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._writing = self._connect(folder, "full")
        self._removing = self._connect(folder, "normal")
        self._writing.execute(
            "create table if not exists batches"
            " (id integer primary key, crc integer not null, payload blob not null)"
        )
        self._first_id: int | None = None

    def _connect(self, folder: Path, synchronous: str) -> sqlite3.Connection:
        connection = sqlite3.connect(folder / "spool.db", isolation_level=None, check_same_thread=False)
        connection.execute("pragma journal_mode = wal")
        connection.execute(f"pragma synchronous = {synchronous}")
        return connection

    def append(self, payload: bytes) -> None:
        self._writing.execute(
            "insert into batches (crc, payload) values (?, ?)", (zlib.crc32(payload), payload)
        )

    def first(self) -> bytes | None:
        after = -1
        while True:
            row = self._removing.execute(
                "select id, crc, payload from batches where id > ? order by id limit 1", (after,)
            ).fetchone()
            if row is None:
                return None
            if zlib.crc32(row[2]) == row[1]:
                self._first_id = row[0]
                return bytes(row[2])
            after = row[0]

    def drop_first(self) -> None:
        self._removing.execute("delete from batches where id <= ?", (self._first_id,))

    def close(self) -> None:
        self._writing.close()
        self._removing.close()


def open_spool(folder: Path) -> Store:
    """The spool of the daemon."""
    return Spool(folder, CAP_BYTES)


OPENERS: dict[str, Callable[[Path], Store]] = {"spool": open_spool, "SQLite": SqliteSpool}


class Run(msgspec.Struct):
    """Figures of one run over one store."""

    append_ms: list[float]
    append_s: float
    append_cpu_s: float
    replay_s: float
    replay_cpu_s: float
    full_mb: float
    empty_mb: float


def batch_of(count: int) -> bytes:
    """A batch of ``count`` trades of all default markets, encoded as the committer does."""
    ids: dict[Market, int] = {market: number for number, market in enumerate(DEFAULT_MARKETS, 1)}
    chance, at_us = random.Random(count), now_us()
    trades = [
        Trade(
            DEFAULT_MARKETS[number % len(DEFAULT_MARKETS)],
            4_000_000_000 + number,
            at_us + number * 50,
            round(chance.uniform(1, 70_000), 2),
            round(chance.uniform(0, 3), 6),
            chance.random() < 0.5,
        )
        for number in range(count)
    ]
    return encode(Batch(trades=trades, received_us=at_us), LedgerEntries([], []), ids)


def main() -> None:
    """Measure both and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        mode, name, folder = arguments.child
        {"append": append_forever, "fill": fill_disk}[mode](name, Path(folder))
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    payload = batch_of(round(TRADES_PER_S * BATCH_EVERY_S))
    print(
        f"batches of {round(TRADES_PER_S * BATCH_EVERY_S):,} trades, {len(payload):,} bytes; "
        f"SQLite {sqlite3.sqlite_version}"
    )
    with tempfile.TemporaryDirectory(prefix="coinwatch-bench-", dir=arguments.folder) as name:
        folder = Path(name)
        compare_speed(folder, payload)
        compare_damage(folder)


def compare_speed(folder: Path, payload: bytes) -> None:
    """Paced latency, then throughput, CPU and size, in alternating rounds."""
    paced: dict[str, list[float]] = {name: [] for name in OPENERS}
    runs: dict[str, list[Run]] = {name: [] for name in OPENERS}
    for number in range(ROUNDS):
        for name, opener in OPENERS.items():
            paced[name] += paced_ms(opener, folder / f"paced-{name}-{number}", payload)
            runs[name].append(run(opener, folder / f"run-{name}-{number}", payload))
    print(f"\n{'':34}{'spool':>12}{'SQLite':>12}{'SQLite / spool':>16}")
    rows: list[tuple[str, Callable[[str], float]]] = [
        (f"append at {TRADES_PER_S:,}/s, p50 ms", lambda name: quantile(paced[name], 0.50)),
        (f"append at {TRADES_PER_S:,}/s, p99 ms", lambda name: quantile(paced[name], 0.99)),
        ("append, unpaced, MB/s", lambda name: len(payload) * BATCHES / 1e6 / middle(runs[name], "append_s")),
        ("append, CPU us a batch", lambda name: middle(runs[name], "append_cpu_s") / BATCHES * 1e6),
        ("replay, MB/s", lambda name: len(payload) * BATCHES / 1e6 / middle(runs[name], "replay_s")),
        ("replay, CPU us a batch", lambda name: middle(runs[name], "replay_cpu_s") / BATCHES * 1e6),
        (
            "on disk / payload, full",
            lambda name: middle(runs[name], "full_mb") * 1e6 / len(payload) / BATCHES,
        ),
        ("MB on disk, emptied", lambda name: middle(runs[name], "empty_mb")),
    ]
    for label, figure in rows:
        ours, theirs = figure("spool"), figure("SQLite")
        ratio = f"{theirs / ours:16.2f}" if ours > 1e-3 else f"{'-':>16}"
        print(f"{label:34}{ours:12.2f}{theirs:12.2f}{ratio}")


def paced_ms(opener: Callable[[Path], Store], folder: Path, payload: bytes) -> list[float]:
    """How long each append took, a batch every BATCH_EVERY_S."""
    store = opener(folder)
    took = []
    started = time.perf_counter()
    for number in range(round(PACED_S / BATCH_EVERY_S)):
        time.sleep(max(0.0, started + number * BATCH_EVERY_S - time.perf_counter()))
        began = time.perf_counter()
        store.append(payload)
        took.append((time.perf_counter() - began) * 1e3)
    store.close()
    shutil.rmtree(folder)
    return took


def run(opener: Callable[[Path], Store], folder: Path, payload: bytes) -> Run:
    """Append BATCHES as fast as the disk takes them, then take them all out."""
    store = opener(folder)
    took = []
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(BATCHES):
        at = time.perf_counter()
        store.append(payload)
        took.append((time.perf_counter() - at) * 1e3)
    append_s, append_cpu_s = time.perf_counter() - began, time.process_time() - cpu
    full_mb = size_mb(folder)
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(BATCHES):
        assert store.first() == payload
        store.drop_first()
    replay_s, replay_cpu_s = time.perf_counter() - began, time.process_time() - cpu
    empty_mb = size_mb(folder)
    store.close()
    shutil.rmtree(folder)
    return Run(took, append_s, append_cpu_s, replay_s, replay_cpu_s, full_mb, empty_mb)


def compare_damage(folder: Path) -> None:
    """What comes back after each kind of damage."""
    print(f"\nbatches lost of {DAMAGED_BATCHES} in {TRIALS} trials:")
    for kind, damage in {"torn write": tear, "flipped bit": flip}.items():
        for name, opener in OPENERS.items():
            lost, wrong, failed = trials(opener, folder / f"{kind}-{name}", damage)
            print(
                f"  {kind:14}{name:8} median {statistics.median(lost):g}, worst {max(lost)}; "
                f"delivered with other bytes {wrong}; trials in which reading failed {failed}"
            )
    for name in OPENERS:
        print(f"  {'kill -9':14}{name:8} {killed(name, folder / f'killed-{name}')}")
    for name in OPENERS:
        print(f"  {'full disk':14}{name:8} {full_disk(name, folder)}")


def trials(
    opener: Callable[[Path], Store], folder: Path, damage: Callable[[Path, Path, random.Random], None]
) -> tuple[list[int], int, int]:
    """Batches lost in each trial, batches delivered but changed, and trials in which reading failed."""
    lost, wrong, failed = [], 0, 0
    payloads = [number.to_bytes(4, "big") * 12_000 for number in range(DAMAGED_BATCHES)]
    before, after, copy = (folder / name for name in ("before", "after", "copy"))
    store = opener(folder / "live")
    for number, payload in enumerate(payloads, 1):
        store.append(payload)
        if number == DAMAGED_BATCHES - 1:
            shutil.copytree(folder / "live", before)
    shutil.copytree(folder / "live", after)  # as a crash of the machine leaves it: nothing was closed
    store.close()
    for number in range(TRIALS):
        shutil.copytree(after, copy)
        damage(before, copy, random.Random(number))
        back: list[bytes] = []
        try:
            store = opener(copy)
            while len(back) <= len(payloads) and (first := store.first()) is not None:
                back.append(first)
                store.drop_first()
            store.close()
        except (sqlite3.DatabaseError, OSError):
            failed += 1
        lost.append(len(set(payloads) - set(back)))
        wrong += len(set(back) - set(payloads))
        shutil.rmtree(copy)
    return lost, wrong, failed


def data_files(folder: Path) -> list[Path]:
    """The files that hold batches."""
    return sorted(path for path in folder.iterdir() if path.name.endswith((".segment", ".db", ".db-wal")))


def tear(before: Path, folder: Path, chance: random.Random) -> None:
    """Leave only the beginning of what the last append wrote."""
    for path in data_files(folder):
        old, new = (before / path.name).read_bytes(), path.read_bytes()
        if old != new:
            last = [place for place in range(len(new)) if old[place : place + 1] != new[place : place + 1]]
            cut = chance.randrange(last[0], last[-1])
            path.write_bytes(new[:cut] + old[cut:])


def flip(_: Path, folder: Path, chance: random.Random) -> None:
    """Flip a bit anywhere in what is stored."""
    files = data_files(folder)
    path = chance.choices(files, [file.stat().st_size for file in files])[0]
    with path.open("r+b") as file:
        place = chance.randrange(path.stat().st_size)
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << chance.randrange(8)]))


def killed(name: str, folder: Path) -> str:
    """Kill a process that appends, five times; what it confirmed must be there."""
    lost = confirmed = 0
    for number in range(5):
        with subprocess.Popen(child("append", name, folder), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(random.Random(number).randrange(5, 60)):
                process.stdout.readline()
                confirmed += 1
            process.send_signal(signal.SIGKILL)
            confirmed += len(process.stdout.read().splitlines())
        store = OPENERS[name](folder)
        back = 0
        while store.first() is not None:
            store.drop_first()
            back += 1
        store.close()
        lost += max(0, confirmed - back)
        confirmed = 0
    return f"lost {lost} confirmed batches"


def append_forever(name: str, folder: Path) -> None:
    """Append until killed, and print a line for each batch on disk."""
    store = OPENERS[name](folder)
    while True:
        store.append(bytes(48_000))
        print("stored", flush=True)


def full_disk(name: str, folder: Path) -> str:
    """Fill a small disk, then take everything out without freeing space elsewhere."""
    disk = folder / f"disk-{name}"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size={SMALL_DISK} tmpfs {disk} && exec {' '.join(child('fill', name, disk))}"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, text=True, check=False)
    return done.stdout.strip() or f"not measured: {done.stderr.strip().splitlines()[-1:]}"


def fill_disk(name: str, disk: Path) -> None:
    """Append until the disk is full, then drain."""
    store = OPENERS[name](disk / "spool")
    kept = 0
    try:
        while True:
            store.append(bytes(48_000))
            kept += 1
    except (SpoolFull, sqlite3.Error) as error:
        reason = str(error).partition(";")[0][-40:]
    drained = 0
    outcome = "drained"
    try:
        while store.first() is not None:
            store.drop_first()
            drained += 1
    except sqlite3.Error as error:
        outcome = f"draining stopped ({error})"
    store.close()
    print(f"kept {kept} batches, then refused ({reason!r}); {outcome} {drained}")


def child(mode: str, name: str, folder: Path) -> list[str]:
    """The command of a process for one of the trials."""
    return [sys.executable, "-m", "bench.spool", "--child", mode, name, str(folder)]


def size_mb(folder: Path) -> float:
    """What the files of ``folder`` take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def quantile(values: list[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie."""
    return sorted(values)[int(share * (len(values) - 1))]


def middle(runs: list[Run], name: str) -> float:
    """The median of one figure."""
    return float(statistics.median(getattr(run, name) for run in runs))


if __name__ == "__main__":
    main()
