"""The prepare job from end to end: real spark-submit, real cluster, real tables, and a server with every kind of fault."""

from __future__ import annotations

import ast
import csv
import gzip
import io
import json
import re
import shutil
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyspark.sql import SparkSession

from datasets import draw
from job_runs import PREPARE, put
from prepared import FETCH_STATUSES, check_sums, leftovers, rows_of, samples_in
from slots import make_job, run_slots
from slotwise import config, storage
from slotwise.contracts.dataset import DatasetRecord, load
from slotwise.download import stage
from slotwise.errors import DataError
from slotwise.pipelines import prepare
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources.demo.faults import FAILURES, FAULTS
from slotwise.sources.demo.leaves.__main__ import FOLDER, write_leaves
from slotwise.sources.demo.server import FaultyServer, image_id_of

if TYPE_CHECKING:
    from conftest import SparkSubmit

pytestmark = pytest.mark.timeout(600)


def prepared(spark: SparkSession, *arguments: str) -> DatasetRecord:
    """The job's steps in this process, where a session runs already."""
    return prepare.prepare(spark, prepare.check(config.load(PrepareSettings, arguments)))


# The real table of Amazon books


class Books:
    """The table of 1,000 real rows, judged here by hand: who can be wanted, and what each is given by the server."""

    def __init__(self, shared_data: Path, classes: int) -> None:
        self.path = shared_data / "book-covers" / "amazon-books" / "books_data_1000.csv.gz"
        self.rows = list(csv.DictReader(io.StringIO(gzip.decompress(self.path.read_bytes()).decode())))
        first: dict[str, str] = {}
        for row in self.rows:
            if row["image"] and row["categories"]:
                first.setdefault(row["image"], ast.literal_eval(row["categories"])[0])
        sizes = Counter(first.values())
        self.classes = sorted(sorted(sizes, key=lambda label: (-sizes[label], label))[:classes])
        self.ids = [image_id_of(url) for url, label in first.items() if label in self.classes]
        covers = sorted((shared_data / "book-covers" / "covers").glob("*.jpg"))
        # More ids than covers: some books share a picture.
        self.covers = {image_id: covers[number % len(covers)].read_bytes() for number, image_id in enumerate(self.ids)}


SMALL = ("--source", "covers", "--classes", "4", "--per-class", "2200", "--image-size", "30x20", "--logical-shards", "4")
IMPATIENT = ("--read-timeout", "0.7", "--retries", "1")


@pytest.fixture(scope="module")
def books(shared_data: Path) -> Books:
    return Books(shared_data, 4)


def mirror(server: FaultyServer) -> tuple[str, str]:
    return "--mirror", f"http://books.google.com={server.url}"


def test_real_books_from_a_faulty_server(spark: SparkSession, books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kinds = [name for name in FAULTS if name != "none"]
    faults = dict(zip(books.ids[::6], kinds * 2, strict=False))
    assert set(faults.values()) == set(kinds)
    with FaultyServer(books.covers, faults, slow_seconds=0.05, stall_seconds=1.5) as server:
        prepared(spark, *SMALL, *IMPATIENT, "--input", str(books.path), "--dataset", "new/books", *mirror(server))
    dataset = (tmp_path / "new" / "books").as_uri()
    record, rows = load(dataset), rows_of(dataset, tmp_path)
    assert len(rows) == record.accounting.rows == 1000
    check_sums(record, dataset, rows)
    assert record.classes == books.classes
    assert record.accounting.set_aside["missing-image"] == sum(not row["image"] for row in books.rows)
    assert record.accounting.set_aside["missing-category"] == sum(bool(row["image"]) and not row["categories"] for row in books.rows)

    ends = {image_id_of(book["image"]): row["status"] for row, book in zip(rows, books.rows, strict=True) if row["status"] not in ("duplicate", "other-category", "missing-image", "missing-category")}
    assert set(ends) == set(books.ids)
    assert {image_id: status for image_id, status in ends.items() if status in FETCH_STATUSES} == {image_id: FAILURES[fault].value for image_id, fault in faults.items() if fault in FAILURES}
    # Of the healthy books with one picture, one stays; a picture that was drawn over is another.
    repainted = ("png-alpha", "cmyk-jpeg", "gif")
    of_picture = defaultdict(list)
    for image_id in (image_id for image_id in books.ids if faults.get(image_id) not in FAILURES):
        fault = faults.get(image_id)
        of_picture[books.covers[image_id], fault if fault in repainted else None].append(ends[image_id])
    assert all(len(statuses) - statuses.count("identical-image") == 1 for statuses in of_picture.values())


def test_too_many_failures_keep_what_came_and_the_next_run_fetches_the_rest(spark: SparkSession, books: Books, tmp_path: Path) -> None:
    gone = set(books.ids[::3])
    arguments = (*SMALL, "--input", books.path.as_uri(), "--dataset", (tmp_path / "books").as_uri())
    with FaultyServer(books.covers, dict.fromkeys(gone, "not-found")) as server:
        share = f"{len(gone) / len(books.ids):.1%}"
        with pytest.raises(DataError, match=rf"^{re.escape(share)} of the downloads failed \({len(gone)} http-error\); at most 20% may"):
            prepared(spark, *arguments, *mirror(server))
    failed = (tmp_path / "books.failed").as_uri()
    statuses = Counter(row["status"] for row in rows_of(failed, tmp_path / "failed"))
    assert statuses.total() == 1000
    assert statuses["http-error"] == len(gone)
    kept = json.loads((tmp_path / "books.failed" / "accounting.json").read_text())
    assert statuses == Counter({"used": kept["used"], "spare": kept["spare"], **kept["set_aside"]}) - Counter()
    assert not (tmp_path / "books").exists()
    assert leftovers(tmp_path.as_uri()) == []

    with FaultyServer(books.covers) as healthy:
        record = prepared(spark, *arguments, *mirror(healthy))
        assert healthy.requests == Counter(gone)
    assert not FETCH_STATUSES & set(record.accounting.set_aside)
    check_sums(record, (tmp_path / "books").as_uri(), rows_of((tmp_path / "books").as_uri(), tmp_path / "then"))


def test_images_that_are_removed_from_the_cache_meanwhile_are_missed(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("--classes", "2", "--per-class", "20", "--image-size", "30x20", "--logical-shards", "2", "--cache", (tmp_path / "cache").as_uri())
    prepared(spark, *arguments, "--dataset", (tmp_path / "first").as_uri())
    fetched = stage._fetched

    def afterwards(*told: Any) -> Any:
        min((tmp_path / "cache").rglob("*.parquet"), key=lambda chunk: chunk.stat().st_size).unlink()
        return fetched(*told)

    monkeypatch.setattr(stage, "_fetched", afterwards)
    with pytest.raises(DataError, match=r"do not add up.*removed from the image cache"):
        prepared(spark, *arguments, "--dataset", (tmp_path / "second").as_uri())
    assert not (tmp_path / "second").exists()


# Real covers


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_real_covers_twice_give_the_same_bytes_and_no_second_request(spark_submit: SparkSubmit, spark: SparkSession, shared_data: Path, tmp_path: Path) -> None:
    table = shared_data / "book-covers" / "covers.csv"
    entries = [row for row in csv.DictReader(io.StringIO(table.read_text("utf-8"))) if row["image_url"]]
    hosts = {f"http://{urlsplit(row['image_url']).netloc}" for row in entries}
    pictures = {image_id_of(row["image_url"]): (shared_data / "book-covers" / "covers" / row["filename"]).read_bytes() for row in entries}
    arguments = ["--source", "covers", "--input", str(table), "--category-column", "category", "--url-column", "image_url", "--classes", "5", "--format", "parquet", "--logical-shards", "4"]
    with FaultyServer(pictures) as server:
        arguments += ["--mirror", *(f"{host}={server.url}" for host in hosts)]
        run = spark_submit(PREPARE, *arguments, "--dataset", "data set [1]/covers", cwd=tmp_path)
        assert run.returncode == 0, run.stderr[-4000:]
        assert " WARN " not in run.stderr
        dataset = storage.normalise(str(tmp_path / "data set [1]" / "covers"))
        first, asked = load(dataset), dict(server.requests)
        second = prepared(spark, *arguments, "--dataset", dataset, "--overwrite")
        assert server.requests == asked
    # The job says where its time went, Java's start included; in a session that ran already that is none of it.
    assert re.search(r"^[\d.]+ s: session [\d.]+ s, catalogue [\d.]+ s, images [\d.]+ s, balance [\d.]+ s, shards and report [\d.]+ s$", run.stdout, re.MULTILINE), run.stdout
    assert list(first.seconds) == ["session", *second.seconds]
    assert all(seconds > 0 for seconds in first.seconds.values())
    assert set(asked.values()) == {1}
    check_sums(second, dataset, rows_of(dataset, tmp_path))
    assert first.image_size == (150, 100)
    assert first.accounting == second.accounting
    assert first.accounting.rows == 211
    assert first.accounting.used > 80
    assert first.fingerprint == second.fingerprint
    assert leftovers(storage.parent(dataset)) == []


# Sources that bring the bytes along; CIFAR-10 in its own layout is among the README's lines


def test_cifar10_in_hugging_faces_layout_keeps_its_test_split_and_its_bytes(spark: SparkSession, shared_data: Path, tmp_path: Path) -> None:
    layout = tmp_path / "hugging-face"
    layout.mkdir()
    for split, file, count in (("train", "train-00000-of-00005.parquet", 600), ("test", "test-00000-of-00001.parquet", 100)):
        table = pq.read_table(shared_data / "cifar10" / file).slice(0, count)
        images = [{"bytes": image, "path": None} for image in table["image"].to_pylist()]
        pq.write_table(pa.table({"img": images, "label": table["label"].cast(pa.int64())}), layout / f"{split}-00000-of-00001.parquet")
    dataset = (tmp_path / "dataset").as_uri()
    record = prepared(spark, "--source", "cifar10", "--input", str(layout), "--dataset", dataset, "--logical-shards", "8")
    check_sums(record, dataset, rows_of(dataset, tmp_path))
    assert record.accounting.rows == 700
    assert record.accounting.used + record.accounting.set_aside.get("identical-image", 0) == 700
    assert record.splits["validation"].samples == pytest.approx(150, abs=45)
    assert samples_in(dataset, record, "test", tmp_path) == {row["image"]: row["label_name"] for row in table.to_pylist()}


def fashion_part(shared_data: Path, target: Path) -> Path:
    """The first 500 and 100 images of the real files."""
    target.mkdir()
    for file in sorted((shared_data / "fashion-mnist").glob("*.gz")):
        count = 500 if file.name.startswith("train") else 100
        content = gzip.decompress(file.read_bytes())
        header, size = (16, 28 * 28) if "images" in file.name else (8, 1)
        part = content[:4] + count.to_bytes(4, "big") + content[8:header] + content[header : header + count * size]
        (target / file.name).write_bytes(gzip.compress(part))
    return target


@pytest.mark.filterwarnings("ignore::FutureWarning")  # petastorm lives on what pyarrow has deprecated
def test_fashion_mnist_stays_grey_up_to_the_model(spark: SparkSession, shared_data: Path, tmp_path: Path) -> None:
    part = fashion_part(shared_data, tmp_path / "part")
    dataset = (tmp_path / "dataset").as_uri()
    record = prepared(spark, "--source", "fashion-mnist", "--input", str(part), "--dataset", dataset, "--format", "parquet")
    check_sums(record, dataset, rows_of(dataset, tmp_path))
    assert (record.channels, record.image_size, record.accounting.rows, record.splits["test"].samples) == (1, (28, 28), 600, 100)
    images = samples_in(dataset, record, "test", tmp_path)
    assert {Image.open(io.BytesIO(image)).mode for image in images} == {"L"}
    from petastorm import make_reader

    with make_reader(f"{dataset}/test", num_epochs=1, workers_count=1) as reader:
        assert {sample.image.shape for sample in reader} == {(28, 28)}
    job = make_job(dataset, tmp_path / "run", model="fashion", epochs=1, batch_size=64, precision="float32")
    assert run_slots(job, 1).test_accuracy > 0.2


def test_drawn_leaves_keep_their_splits(spark: SparkSession, tmp_path: Path) -> None:
    leaves = tmp_path / "leaves"
    write_leaves(leaves.as_uri(), per_class=24, valid=6, side=32, seed=1)
    inside = leaves / FOLDER
    spots = ("Tomato___Bacterial_spot", "Tomato___Septoria_leaf_spot", "Tomato___Target_Spot")
    for name in spots:
        picture = min((inside / "train" / name).iterdir())
        shutil.copy(picture, inside / "valid" / name / f"copy of {picture.name}")
    arguments = ("--source", "folder", "--input", str(leaves), "--class-pattern", "*_spot", "*_Spot", "--image-size", "16x16", "--logical-shards", "4", "--balance", "none")
    for kept in (True, False):
        dataset = (tmp_path / f"dataset-{kept}").as_uri()
        record = prepared(spark, *arguments, "--dataset", dataset, *([] if kept else ["--no-keep-splits"]))
        rows = rows_of(dataset, tmp_path / str(kept))
        check_sums(record, dataset, rows)
        assert record.classes == sorted(spots)
        assert record.accounting.rows == 10 * 30 + 3
        assert record.accounting.set_aside == {"identical-image": 3, "other-category": 7 * 30}
        places = Counter((row["id"].split("/")[0], row["split"]) for row in rows if row["status"] == "used")
        if kept:
            assert {(folder, split) for folder, split in places if folder == "valid"} == {("valid", "validation")}
            assert {split for folder, split in places if folder == "train"} == {"train", "test"}
            assert places["valid", "validation"] == 3 * 7, "of identical pictures the one that is held out stays"
        else:
            assert places["valid", "train"]


def test_a_folder_on_hdfs_with_unreadable_and_identical_files(spark: SparkSession, hdfs: str, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for label, name in enumerate(("cats", "dogs & wolves", "große Vögel")):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            (folder / name / f"{number:02d}.jpg").write_bytes(draw(number, label, (24, 20)))
    cats = folder / "cats"
    broken = {"cats/page.jpg": b"<html>", "dogs & wolves/half.jpg": draw(0, 1, (24, 20))[:300]}
    for name, content in broken.items():
        (folder / name).write_bytes(content)
    for number in range(5):
        (folder / "dogs & wolves" / f"copy-{number}.jpg").write_bytes((cats / f"{number:02d}.jpg").read_bytes())
    (folder / "notes.txt").write_text("no image")

    dataset = f"{hdfs}/sets/photos"
    record = prepared(spark, "--source", "folder", "--input", put(folder, f"{hdfs}/photos"), "--dataset", dataset, "--image-size", "16x16", "--logical-shards", "4")
    rows = rows_of(dataset, tmp_path)
    check_sums(record, dataset, rows)
    assert record.classes == ["cats", "dogs & wolves", "große Vögel"]
    assert len(rows) == 3 * 20 + 2 + 5
    ends = {row["id"]: row["status"] for row in rows}
    assert {name: ends[name] for name in broken} == {"cats/page.jpg": "not-an-image", "dogs & wolves/half.jpg": "unreadable"}
    for number in range(5):
        pair = {ends[f"cats/{number:02d}.jpg"], ends[f"dogs & wolves/copy-{number}.jpg"]}
        assert "identical-image" in pair
        assert len(pair) == 2
    assert len(set(record.splits["train"].class_counts)) == 1, "undersampled to the smallest class"
