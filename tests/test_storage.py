"""Storage: the same behaviour on local paths and on HDFS, writes whole or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotwise import storage
from slotwise.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("given_uri", "expected"),
    [
        ("/data/x", "file:///data/x"),
        ("/data/x/", "file:///data/x"),
        ("/data/../data/x", "file:///data/x"),
        ("file:///data/x/", "file:///data/x"),
        ("file:/data/x", "file:///data/x"),
        ("/data/two words", "file:///data/two%20words"),
        ("file:///data/two%20words", "file:///data/two%20words"),
        ("hdfs://host:9000/data/", "hdfs://host:9000/data"),
        ("hdfs://host:9000/data/x", "hdfs://host:9000/data/x"),
        ("s3://bucket/key/", "s3://bucket/key"),
        ("memory://x", "memory://x"),
    ],
)
def test_normalise(given_uri: str, expected: str) -> None:
    assert storage.normalise(given_uri) == expected


def test_normalise_takes_the_working_directory_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert storage.normalise("data/x") == (tmp_path / "data" / "x").as_uri()
    assert storage.normalise("~/x") == (tmp_path / "home" / "x").as_uri()


@given(st.text(st.characters(exclude_characters="\0/:?#\n\r", exclude_categories=["Cs"]), min_size=1).filter(lambda text: text not in (".", "..")))
def test_a_normalised_name_leads_back_to_the_same_file(name: str) -> None:
    uri = storage.normalise(f"/data/{name}")
    assert storage.local_path(uri) == f"/data/{name}"
    assert storage.normalise(uri) == uri


@pytest.mark.parametrize("unknown", ["htfs://host/x", "s4://bucket"])
def test_an_unknown_scheme_is_a_usage_error(unknown: str) -> None:
    with pytest.raises(UsageError, match=rf"scheme '\w+' is not known\. Received: {unknown}\. Accepted: .*hdfs://"):
        storage.normalise(unknown)


def test_an_empty_uri_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="empty"):
        storage.normalise("")


def test_a_storage_that_does_not_answer_is_a_data_error() -> None:
    with pytest.raises(DataError, match=r"hdfs://127\.0\.0\.1:1/x"):
        storage.read_bytes("hdfs://127.0.0.1:1/x")


def test_write_and_read(place: str) -> None:
    uri = storage.join(place, "deep", "er", "file.bin")
    storage.write_bytes(uri, b"first")
    storage.write_bytes(uri, b"second, longer")
    assert storage.read_bytes(uri) == b"second, longer"
    assert storage.size(uri) == 14
    assert storage.children(storage.parent(uri)) == ["file.bin"]
    storage.write_json(uri, {"clé": [1, None]})
    assert storage.read_json(uri) == {"clé": [1, None]}


@pytest.mark.parametrize("name", ["two words.txt", "éß漢.txt", "100%.txt", "a+b=c,d.txt"])
def test_names_with_odd_characters(place: str, name: str) -> None:
    uri = storage.join(place, name) if not storage.is_local(place) else storage.normalise(storage.local_path(place) + "/" + name)
    storage.write_text(uri, "x")
    assert storage.children(place) == [name]
    assert storage.read_text(uri) == "x"


def test_a_failed_write_leaves_the_old_file_and_no_other(place: str) -> None:
    uri = storage.join(place, "file.bin")
    storage.write_bytes(uri, b"old")
    with pytest.raises(TypeError):
        storage.write_bytes(uri, "not bytes")  # type: ignore[arg-type]
    assert storage.read_bytes(uri) == b"old"
    assert storage.children(place) == ["file.bin"]


def test_a_file_does_not_replace_a_directory(place: str) -> None:
    uri = storage.join(place, "directory")
    storage.write_bytes(storage.join(uri, "inside"), b"kept")
    with pytest.raises(Exception, match=r"directory|exist"):
        storage.write_bytes(uri, b"file")
    assert storage.children(place) == ["directory"]
    assert storage.children(uri) == ["inside"]


def test_rename_replaces_a_file_and_makes_parents(place: str) -> None:
    source, target = storage.join(place, "source"), storage.join(place, "new", "target")
    storage.write_bytes(source, b"1")
    storage.rename(source, target)
    storage.write_bytes(source, b"2")
    storage.rename(source, target)
    assert storage.read_bytes(target) == b"2"
    assert not storage.exists(source)


def test_replace_directory_leaves_nothing_of_the_old_one(place: str) -> None:
    old, new = storage.join(place, "dataset"), storage.join(place, ".dataset.tmp")
    storage.write_bytes(storage.join(new, "a"), b"first")
    storage.replace_directory(new, old)
    storage.write_bytes(storage.join(new, "b"), b"second")
    storage.replace_directory(new, old)
    assert storage.children(place) == ["dataset"]
    assert storage.children(old) == ["b"]
    assert storage.is_directory(old)
    assert not storage.is_directory(storage.join(old, "b"))


def test_children_are_names_in_order(place: str) -> None:
    for name in ("b", "a", "c/inside"):
        storage.write_bytes(storage.join(place, name), b"")
    assert storage.children(place) == ["a", "b", "c"]
    assert storage.children(storage.join(place, "absent")) == []


def test_what_a_listing_names_can_be_reached(place: str) -> None:
    names = ["100%25 a", "b#c", "d, (e)+f", "猫 ?=&", "x; y"]
    for name in names:
        storage.write_bytes(storage.child(storage.child(place, name), f"{name}.JPG"), name.encode())
        storage.write_bytes(storage.child(place, f"{name}.txt"), b"")
    folders, files = storage.folders_and_files(place)
    assert (folders, files) == (sorted(names), sorted(f"{name}.txt" for name in names))
    for name in folders:
        inside = storage.child(place, name)
        assert storage.is_directory(inside)
        assert storage.folders_and_files(inside) == ([], [f"{name}.JPG"])
        assert storage.read_bytes(storage.child(inside, f"{name}.JPG")) == name.encode()
    inside_too = {f"{name}/{name}.JPG": len(name.encode()) for name in names}
    assert dict(storage.files_below(place)) == {**inside_too, **dict.fromkeys(files, 0)}
    assert all(storage.size(storage.child(place, name)) == size for name, size in inside_too.items())


def test_links_are_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for name in ("folder", "file", "nothing"):
        (tmp_path / f"to {name}").symlink_to(tmp_path / name)
    assert storage.folders_and_files(tmp_path.as_uri()) == (["folder", "to folder"], ["file", "to file", "to nothing"])
    (tmp_path / "folder" / "inside").write_bytes(b"12345")
    (tmp_path / "folder" / "to itself").symlink_to(tmp_path / "folder")
    (tmp_path / "folder" / "to above").symlink_to(tmp_path)
    found = {"folder/inside": 5, "to folder/inside": 5, "file": 0, "to file": 0, "to nothing": 0}
    assert dict(storage.files_below(tmp_path.as_uri())) == found


def test_delete_takes_files_directories_and_what_is_not_there(place: str) -> None:
    uri = storage.join(place, "tree")
    storage.write_bytes(storage.join(uri, "x", "y"), b"")
    storage.delete(uri)
    storage.delete(uri)
    assert not storage.exists(uri)


def test_upload_and_download_give_the_same_bytes(place: str, tmp_path: Path) -> None:
    content = os.urandom(5 * 1024 * 1024 + 3)  # more than one chunk
    source, target, uri = tmp_path / "source.bin", tmp_path / "cache" / "copy.bin", storage.join(place, "up", "file.bin")
    source.write_bytes(content)
    storage.upload(str(source), uri)
    checksum = storage.download(uri, str(target))
    assert target.read_bytes() == content
    assert checksum == hashlib.sha256(content).hexdigest() == storage.file_sha256(str(target))
    assert storage.children(storage.join(place, "up")) == ["file.bin"]
    assert os.listdir(target.parent) == ["copy.bin"]


def test_what_does_not_exist_is_a_data_error(place: str, tmp_path: Path) -> None:
    uri = storage.join(place, "absent")
    with pytest.raises(DataError, match="absent does not exist"):
        storage.read_bytes(uri)
    with pytest.raises(DataError, match="absent does not exist"):
        storage.download(uri, str(tmp_path / "cache" / "copy"))
    assert os.listdir(tmp_path / "cache") == []
    with pytest.raises(FileNotFoundError):
        storage.upload(str(tmp_path / "missing"), uri)
    assert storage.children(place) == (["cache"] if storage.is_local(place) else [])


_FORKS = """
import subprocess, sys
from multiprocessing import get_context
from slotwise import storage
uri = sys.argv[1]
assert storage.read_text(uri) == "before"
subprocess.run(["true"], check=True, preexec_fn=lambda: None)  # as pyspark starts Java
with get_context("fork").Pool(1) as pool:
    assert pool.apply(abs, [-1]) == 1
print(storage.read_text(uri))
"""


def test_a_process_that_has_used_a_storage_can_fork(place: str) -> None:
    uri = storage.join(place, "text")
    storage.write_text(uri, "before")
    run = subprocess.run([sys.executable, "-c", _FORKS, uri], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (0, "before\n"), run.stderr
