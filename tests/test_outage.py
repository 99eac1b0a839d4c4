"""An HDFS that goes away for a while: reading and writing wait for it, what cannot heal fails at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from slotwise import hdfs as driver
from slotwise import storage
from slotwise.errors import DataError
from slotwise.localcluster.cluster import LocalCluster
from slotwise.training.lock import LockRecord, RunLock

pytestmark = pytest.mark.cluster

CONTENT = os.urandom(3 * 1024 * 1024)


@contextmanager
def away(cluster: LocalCluster, *parts: str) -> Iterator[None]:
    """Within it the servers are dead, at its end they answer again.

    They start in this thread, not in one of its own: a server that is tied dies with the thread that started it.
    """
    for part in parts:
        cluster.kill_part(part)
    try:
        yield
    finally:
        for part in parts:
            cluster.start_part(part)


@pytest.fixture
def file(hdfs: str) -> str:
    uri = storage.join(hdfs, "file")
    storage.write_bytes(uri, CONTENT)
    return uri


def test_each_operation_and_a_lock_outlast_an_outage(cluster: LocalCluster, hdfs: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    moved, written, uploaded, made, created = (storage.join(hdfs, "new", name) for name in ("moved", "written", "uploaded", "made", "created"))
    other = storage.join(hdfs, "other")
    storage.write_bytes(other, b"other")
    lock_record = storage.join(hdfs, "run", "running.json")

    def renewed() -> LockRecord:
        return LockRecord.model_validate_json(storage.read_bytes(lock_record))

    operations: dict[str, Callable[[], object]] = {
        "write": lambda: storage.write_bytes(written, CONTENT),
        "upload": lambda: storage.upload(str(source), uploaded),
        "read": lambda: storage.read_bytes(file),
        "download": lambda: storage.download(file, str(tmp_path / "target")),
        "rename": lambda: storage.rename(other, moved),
        "directory": lambda: storage.make_directory(made),
        "create": lambda: storage.create_exclusively(created, CONTENT),
    }
    with RunLock(lock_record, "at work", renew_seconds=0.5) as lock, ThreadPoolExecutor(len(operations)) as pool:
        held = renewed().id
        with away(cluster, "namenode"):
            begun = {name: pool.submit(operation) for name, operation in operations.items()}
            time.sleep(8)
            assert not any(future.done() for future in begun.values())
        results = {name: future.result(timeout=60) for name, future in begun.items()}
        back, deadline = renewed(), time.monotonic() + 30
        while renewed().renewed <= back.renewed:
            assert time.monotonic() < deadline, "the lock is not renewed any more"
            time.sleep(0.2)
        assert renewed().id == held
        assert not lock.lost
    assert not storage.exists(lock_record)
    assert results["read"] == CONTENT
    assert results["create"] is True
    assert storage.read_bytes(written) == storage.read_bytes(uploaded) == storage.read_bytes(created) == CONTENT
    assert (tmp_path / "target").read_bytes() == CONTENT
    assert storage.read_bytes(moved) == b"other"
    assert storage.children(storage.join(hdfs, "new")) == ["created", "made", "moved", "uploaded", "written"]
    assert storage.children(hdfs) == ["file", "new", "run"]
    said = capsys.readouterr().out
    assert f"storage {cluster.hdfs} is away (Connection refused" in said
    assert f"storage {cluster.hdfs} is back after" in said


def test_writing_waits_for_the_end_of_safe_mode(cluster: LocalCluster, hdfs: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a DataNode the restarted NameNode stays in safe mode, where it answers but knows no block."""
    written = storage.join(hdfs, "written")
    for number in range(3):  # 99.9 % of a single block is, rounded down, none to wait for
        storage.write_bytes(storage.join(hdfs, f"more-{number}"), b"block")
    with ThreadPoolExecutor(2) as pool:
        with away(cluster, "datanode"):
            cluster.kill_part("namenode")
            cluster.parts["namenode"].start()
            assert storage.exists(file)
            capsys.readouterr()
            writes, reads = pool.submit(storage.write_bytes, written, b"during safe mode"), pool.submit(storage.read_bytes, file)
            time.sleep(5)
            assert not writes.done()
            assert not reads.done()
        writes.result(timeout=60)
        assert reads.result(timeout=60) == CONTENT
    assert storage.read_bytes(written) == b"during safe mode"
    assert "SafeModeException" in capsys.readouterr().out


def test_a_lost_answer_to_a_rename_is_no_failure(hdfs: str) -> None:
    """As the driver repeats it: the source is gone because the first request was carried out."""
    source, target = storage.join(hdfs, "source"), storage.join(hdfs, "target")
    storage.write_bytes(source, b"moved")
    fs, _path = driver.connect(source)
    rename = fs.client.rename

    class Twice:
        def __getattr__(self, name: str) -> object:
            return getattr(client, name)

        def rename(self, *arguments: object) -> None:
            rename(*arguments)
            rename(*arguments)

    client, fs.client = fs.client, Twice()
    try:
        storage.rename(source, target)
        assert storage.create_exclusively(source, b"new")
        assert not storage.create_exclusively(source, b"newer")
        with pytest.raises(FileNotFoundError):
            storage.rename(storage.join(hdfs, "absent"), target)
    finally:
        fs.client = client
    assert storage.read_bytes(target) == b"moved"
    assert storage.read_bytes(source) == b"new"
    assert storage.children(hdfs) == ["source", "target"]


def test_what_cannot_heal_fails_at_once(hdfs: str, file: str) -> None:
    begun = time.monotonic()
    with pytest.raises(DataError, match="does not exist"):
        storage.read_bytes(storage.join(hdfs, "absent"))
    with pytest.raises(Exception, match="not a directory"):
        storage.write_bytes(storage.join(file, "below a file"), b"")
    assert not storage.create_exclusively(file, b"")
    assert time.monotonic() - begun < 5


def test_waiting_has_an_end(cluster: LocalCluster, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "AWAY_SECONDS", 3.0)
    with away(cluster, "namenode"), pytest.raises(DataError, match=r"hdfs://.* has been away for more than 3 s: Connection refused"):
        storage.write_bytes(file, b"never arrives")
    assert storage.read_bytes(file) == CONTENT


def test_a_damaged_block_is_a_data_error_and_soon(cluster: LocalCluster, hdfs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_REPLICAS_SECONDS", 1.0)
    uri, content = storage.join(hdfs, "damaged"), os.urandom(54321)
    storage.write_bytes(uri, content)
    data = cluster.directory / "hdfs" / "data"
    block = next(path for path in data.rglob("blk_*") if path.stat().st_size == len(content))
    block.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    begun = time.monotonic()
    for read in (storage.read_bytes, storage.sha256):
        with pytest.raises(DataError, match=r"No replica of a block of hdfs://.*/damaged can be read"):
            read(uri)
    assert time.monotonic() - begun < 15
