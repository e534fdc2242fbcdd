"""The spool and processes: killed ones, several in one data folder, and a full disk."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coinwatch.errors import SettingsError
from ingest_daemon.storage.spool_claim import claim
from tests.conftest import PROJECT
from tests.ingest_daemon.storage.spools import drained, opened

APPEND_FOREVER = """
import sys
from pathlib import Path
from ingest_daemon.storage.spool import Spool
spool = Spool(Path(sys.argv[1]), 100_000_000)
number = int(sys.argv[2])
while True:
    spool.append(number.to_bytes(8, "big") * 20_000)
    print(number, flush=True)
    number += 1
"""

CLAIM = """
import sys
from pathlib import Path
from ingest_daemon.storage.spool_claim import claim
with claim(Path(sys.argv[1]), 1_000_000) as claimed:
    print(claimed.own._folder.name, *(spool._folder.name for spool in claimed.orphans), flush=True)
    for line in sys.stdin:
        claimed.own.append(line.encode())
        print("kept", flush=True)
"""


@contextmanager
def program(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_kill_9_while_appending_loses_no_stored_record(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    kept, chance = 0, random.Random(3)
    for _ in range(5):
        with program(APPEND_FOREVER, folder, kept) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 40)):
                kept = int(process.stdout.readline()) + 1
            process.send_signal(signal.SIGKILL)
            # What it printed before the signal reached it was stored as well.
            for line in process.stdout.read().splitlines():
                kept = int(line) + 1
        with opened(folder) as spool:
            # A record that was whole on disk may miss its confirmation.
            assert spool.records in (kept, kept + 1)
            kept = spool.records
    with opened(folder) as spool:
        records = drained(spool)
    assert records == [number.to_bytes(8, "big") * 20_000 for number in range(kept)]


def can_mount() -> bool:
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([unshare, "-rm", "true"], check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="a disk of a megabyte cannot be mounted here")
def test_a_full_disk_keeps_and_drains_what_is_stored(tmp_path: Path) -> None:
    code = """
import os
from pathlib import Path
from ingest_daemon.storage.spool import Spool, SpoolFull
spool = Spool(Path("disk/spool"), 100_000_000)
kept = 0
payloads = [number.to_bytes(4, "big") * 10_000 for number in range(100)]
try:
    for payload in payloads:
        spool.append(payload)
        kept += 1
except SpoolFull as full:
    assert "No space left on device; free space on its disk" in str(full), full
for _ in range(5):
    assert spool.first() == payloads[0]
    try:
        spool.append(payloads[kept])
    except SpoolFull:
        continue
    raise AssertionError("there was room")
spool.close()
spool = Spool(Path("disk/spool"), 100_000_000)
left = []
while (payload := spool.first()) is not None:
    left.append(payload)
    spool.drop_first()
assert left == payloads[:kept], len(left)
assert kept > 20, kept
spool.append(payloads[kept])
print("whole", kept)
"""
    (tmp_path / "disk").mkdir()
    (tmp_path / "code.py").write_text(code)
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=1m tmpfs disk && {sys.executable} code.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("whole ")


def test_processes_share_no_spool_and_orphans_are_claimed(tmp_path: Path) -> None:
    def read_line(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def keep(process: subprocess.Popen[str], line: str) -> None:
        assert process.stdin is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()
        assert read_line(process) == "kept"

    with program(CLAIM, tmp_path) as some, program(CLAIM, tmp_path) as other:
        first, second = sorted((some, other), key=read_line)
        with program(CLAIM, tmp_path) as third:
            assert read_line(third) == "2"
            for number, process in enumerate((first, second, third)):
                keep(process, f"of {number}")
            for process in (first, third):
                process.kill()
                process.wait()
        with claim(tmp_path, 1_000_000) as claimed:
            assert drained(claimed.own) == [b"of 0\n"]
            assert [drained(spool) for spool in claimed.orphans] == [[b"of 2\n"]]
            with program(CLAIM, tmp_path) as fourth:
                assert read_line(fourth) == "3"
        second.kill()
        second.wait()
        with claim(tmp_path, 1_000_000) as claimed:
            assert claimed.own.records == 0
            assert [drained(spool) for spool in claimed.orphans] == [[b"of 1\n"]]
        with claim(tmp_path, 1_000_000) as claimed:
            assert claimed.orphans == []


def test_an_unusable_folder_names_its_setting(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(SettingsError, match=r"COINWATCH_DATA_DIR.*File exists"), claim(tmp_path, 1_000_000):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give links to another user")
@pytest.mark.parametrize("name", ["lock", "0", "0/lock", "0/position"])
def test_root_follows_no_link_of_another_user(tmp_path: Path, name: str) -> None:
    victim, spool = tmp_path / "victim", tmp_path / "theirs" / "spool"
    if name == "0":
        victim.mkdir()
    else:
        victim.write_text("precious")
    (spool / name).parent.mkdir(parents=True)
    (spool / name).symlink_to(victim)
    for path in (spool, *spool.rglob("*")):
        os.chown(path, 1, 1, follow_symlinks=False)
    refused = pytest.raises(
        SettingsError, match="cannot be used: it is a link that another user may have placed"
    )
    with refused, claim(spool.parent, 1_000_000):
        pass
    assert list(victim.iterdir()) == [] if name == "0" else victim.read_text() == "precious"
