"""The spool: real files, real damage, real limits."""

from __future__ import annotations

import errno
import os
import resource
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from coinwatch.errors import CoinwatchError
from ingest_daemon.storage.spool import Spool, SpoolFull, segments_in
from ingest_daemon.storage.spool_records import encode_record
from tests.ingest_daemon.storage.spools import drained, opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def numbered(count: int, size: int = 1_000) -> list[bytes]:
    return [number.to_bytes(4, "big") * (size // 4) for number in range(count)]


def test_records_are_returned_in_order_and_leave_no_file(folder: Path) -> None:
    with opened(folder) as spool:
        assert spool.first() is None
        spool.drop_first()
        for payload in (b"", b"one", b"two"):
            spool.append(payload)
        assert (spool.records, spool.bytes) == (3, 3 * 12 + 6)
        assert spool.first() == spool.first() == b""
        spool.drop_first()
        spool.drop_first()
        assert (spool.records, spool.bytes) == (1, 15)
        spool.append(b"three")
        assert drained(spool) == [b"two", b"three"]
        assert (spool.records, spool.bytes, segments_in(folder)) == (0, 0, [])
        spool.append(b"four")
        assert drained(spool) == [b"four"]


def test_drained_files_are_deleted(folder: Path) -> None:
    payloads = numbered(100)
    with opened(folder, cap_bytes=120_000) as spool:
        for payload in payloads:
            spool.append(payload)
        files = len(segments_in(folder))
        assert files > 3
        for payload in payloads[:50]:
            assert spool.first() == payload
            spool.drop_first()
        assert len(segments_in(folder)) <= files / 2 + 1
        assert drained(spool) == payloads[50:]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_it_is_a_queue_under_any_operations_and_reopenings(data: st.DataObject) -> None:
    waiting: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder), 2_000)
        for step in data.draw(st.lists(st.sampled_from(["append", "drop", "open"]), max_size=40)):
            if step == "append":
                payload = data.draw(st.binary(max_size=300))
                before = sum(path.stat().st_size for path in segments_in(Path(folder)))
                if before + len(encode_record(payload)) > 2_000:
                    with pytest.raises(SpoolFull):
                        spool.append(payload)
                else:
                    spool.append(payload)
                    waiting.append(payload)
            elif step == "drop":
                spool.drop_first()
                del waiting[:1]
            else:
                spool.close()
                spool = Spool(Path(folder), 2_000)
            assert spool.first() == (waiting[0] if waiting else None)
            assert spool.records == len(waiting)
            assert spool.bytes == sum(len(encode_record(payload)) for payload in waiting)
        spool.close()


def test_one_thread_appends_while_another_drains(folder: Path) -> None:
    payloads = numbered(300)
    taken: list[bytes] = []
    with opened(folder, cap_bytes=1_000_000) as spool:

        def take() -> None:
            while len(taken) < len(payloads):
                if (payload := spool.first()) is not None:
                    taken.append(payload)
                    spool.drop_first()

        taker = threading.Thread(target=take)
        taker.start()
        for payload in payloads:
            spool.append(payload)
        taker.join(timeout=20)
    assert taken == payloads


def test_the_position_survives_a_reopening(folder: Path) -> None:
    payloads = numbered(30)
    with opened(folder, cap_bytes=60_000) as spool:
        for payload in payloads:
            spool.append(payload)
        for _ in range(13):
            spool.drop_first()
    with opened(folder) as spool:
        assert spool.records == 17
        assert spool.first() == payloads[13]
    (folder / "position").write_bytes(b"not a position")
    with opened(folder) as spool:
        left = drained(spool)
    assert left[-17:] == payloads[13:]
    assert left == payloads[30 - len(left) :]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=8), st.data())
def test_a_torn_end_loses_only_the_torn_record(payloads: list[bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with opened(folder) as spool:
            for payload in payloads:
                spool.append(payload)
        [path] = segments_in(folder)
        cut = data.draw(st.integers(0, path.stat().st_size))
        os.truncate(path, cut)
        filler = data.draw(st.sampled_from([b"", b"\0" * 50, b"\xc6CwS"]))
        with path.open("ab") as file:
            file.write(filler)
        contents = path.read_bytes()
        whole, end = [], 0
        for payload in payloads:
            if not contents.startswith(encode_record(payload), end):  # the filler may complete it
                break
            end += len(encode_record(payload))
            whole.append(payload)
        torn = len(contents) - end
        with capture_logs() as logs, opened(folder) as spool:
            spool.append(b"afterwards")
            assert drained(spool) == [*whole, b"afterwards"]
        assert [line["bytes"] for line in logs] == ([torn] if torn else [])
        with capture_logs() as logs, opened(folder):
            assert logs == []


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=60), min_size=2, max_size=8), st.data())
def test_a_flipped_bit_loses_one_record_and_keeps_the_file(
    payloads: list[bytes], data: st.DataObject
) -> None:
    hurt = data.draw(st.integers(0, len(payloads) - 2))
    starts = [
        sum(len(encode_record(before)) for before in payloads[:place]) for place in range(len(payloads))
    ]
    place = data.draw(st.integers(starts[hurt], starts[hurt + 1] - 1))
    is_open = data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with capture_logs() as logs, opened(folder) as spool:
            for payload in payloads:
                spool.append(payload)
            [path] = segments_in(folder)
            changed = bytearray(path.read_bytes())
            changed[place] ^= 1 << data.draw(st.integers(0, 7))
            path.write_bytes(changed)
            if is_open:
                left = drained(spool)
        if not is_open:
            with capture_logs() as logs, opened(folder) as spool:
                assert spool.records == len(payloads) - 1
                left = drained(spool)
        assert left == payloads[:hurt] + payloads[hurt + 1 :]
        [line] = logs
        assert line["log_level"] == "error"
        assert line["bytes"] == len(encode_record(payloads[hurt]))
        assert Path(line["file"]).read_bytes() == changed
        assert segments_in(folder) == []


def test_a_file_of_garbage_is_skipped(folder: Path) -> None:
    payloads = numbered(40)
    with opened(folder, cap_bytes=80_000) as spool:
        for payload in payloads:
            spool.append(payload)
    first, *_ = segments_in(folder)
    records_lost = first.stat().st_size // len(encode_record(payloads[0]))
    first.write_bytes(os.urandom(first.stat().st_size))
    with capture_logs() as logs, opened(folder) as spool:
        assert drained(spool) == payloads[records_lost:]
    assert [line["log_level"] for line in logs] == ["error"]
    assert first.with_suffix(".damaged").exists()


def test_the_spool_refuses_records_over_its_limit(folder: Path) -> None:
    payload = bytes(988)
    with capture_logs() as logs, opened(folder, cap_bytes=1_000_000) as spool:
        for number in range(1_000):
            assert spool.is_near_full == (number >= 800)
            spool.append(payload)
        with pytest.raises(SpoolFull, match=r"has reached its 1 MB.*COINWATCH_SPOOL_MAX_MB") as full:
            spool.append(b"")
        assert str(folder) in str(full.value)
        assert isinstance(full.value, CoinwatchError)
        assert len(drained(spool)) == 1_000
        spool.append(payload)
        assert not spool.is_near_full
    assert [line["event"].partition(";")[0] for line in logs] == ["the spool is nearly full"]


def test_space_is_freed_file_by_file(folder: Path) -> None:
    payload = bytes(9_988)
    with opened(folder, cap_bytes=1_000_000) as spool:
        for _ in range(100):
            spool.append(payload)
        for _ in range(13):
            with pytest.raises(SpoolFull):
                spool.append(payload)
            spool.drop_first()
        spool.append(payload)


def test_a_refused_write_leaves_stored_records_whole(folder: Path) -> None:
    """By the kernel's own limit on the size of a file: a write is cut short, the next one refused."""
    payloads = numbered(5, 1_000)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(folder) as spool:
        for payload in payloads[:3]:
            spool.append(payload)
        [path] = segments_in(folder)
        whole = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole + 500, unlimited[1]))
        try:
            for _ in range(3):
                with pytest.raises(SpoolFull, match="File too large; free space on its disk") as full:
                    spool.append(payloads[3])
                assert path.stat().st_size == whole
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert isinstance(full.value.__cause__, OSError)
        assert full.value.__cause__.errno == errno.EFBIG
        assert spool.first() == payloads[0]
        for payload in payloads[3:]:
            spool.append(payload)
    with capture_logs() as logs, opened(folder) as spool:
        assert drained(spool) == payloads
    assert logs == []
