"""Each source gives one catalogue row for each input row, with the same ids in every run."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyspark.sql import DataFrame, Row, SparkSession

from datasets import write_fashion, write_idx
from slotwise.contracts.catalogue import CATALOGUE_SCHEMA, Status
from slotwise.errors import DataError, UsageError
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources import catalogue_of, reading_input
from slotwise.sources.cifar10 import CLASSES
from slotwise.sources.demo.books import write_catalogue
from slotwise.sources.fashion_mnist import CLASSES as FASHION


def read(spark: SparkSession, source: str, path: Path, **changes: Any) -> DataFrame:
    frame = catalogue_of(source)(spark, PrepareSettings(source=source, input=str(path), **changes).resolved())
    kinds = {"bigint": "long"}
    assert ", ".join(f"{name} {kinds.get(kind, kind)}" for name, kind in frame.dtypes) == CATALOGUE_SCHEMA
    return frame


def rows_of(frame: DataFrame) -> list[Row]:
    rows = sorted(frame.collect(), key=lambda row: row["row"])
    assert [row["row"] for row in rows] == list(range(len(rows)))
    return rows


# covers

COVERS = b"""Title,image,categories
plain,http://a/1.jpg,Fiction
list,http://a/2.jpg,['Fiction']
first of two,  http://a/3.jpg ,"['Body, Mind & Spirit', 'Fiction']"
apostrophe,http://a/4.jpg,"[""Children's stories""]"
both quotes,http://a/5.jpg,"['Children\\'s ""best""']"
comma,http://a/6.jpg,"Mystery, Thriller & Suspense"
no image,,['Fiction']
no category,http://a/7.jpg,
empty list,http://a/8.jpg,[]
empty name,http://a/9.jpg,['']
nothing,,
again,http://a/1.jpg,['History']
"a ""quoted"" title
over two lines",http://a/10.jpg,['History']
too few,http://a/11.jpg
too many,http://a/12.jpg,['History'],what
once without category,http://a/7.jpg,['History']
"""


def test_covers_reads_the_real_tables_dirt(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "books [1].csv"
    path.write_bytes(b"\xef\xbb\xbf" + COVERS)
    rows = rows_of(read(spark, "covers", path))
    found = [(row["url"], row["label"], row["status"]) for row in rows]
    history = "History"
    assert found == [
        ("http://a/1.jpg", "Fiction", None),
        ("http://a/2.jpg", "Fiction", None),
        ("http://a/3.jpg", "Body, Mind & Spirit", None),
        ("http://a/4.jpg", "Children's stories", None),
        ("http://a/5.jpg", "Children's \"best\"", None),
        ("http://a/6.jpg", "Mystery, Thriller & Suspense", None),
        (None, "Fiction", "missing-image"),
        ("http://a/7.jpg", None, "missing-category"),
        ("http://a/8.jpg", None, "missing-category"),
        ("http://a/9.jpg", None, "missing-category"),
        (None, None, "missing-image"),
        ("http://a/1.jpg", history, "duplicate"),
        ("http://a/10.jpg", history, None),
        ("http://a/11.jpg", None, "malformed-row"),
        ("http://a/12.jpg", history, "malformed-row"),
        ("http://a/7.jpg", history, None),
    ]
    assert rows[0]["id"] == rows[11]["id"] == hashlib.sha256(b"http://a/1.jpg").hexdigest()[:16]
    assert "header" in rows[13]["error"]


def test_covers_is_the_same_gzipped_in_parts_and_with_other_column_names(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "whole.csv").write_bytes(COVERS)
    expected = rows_of(read(spark, "covers", tmp_path / "whole.csv"))
    (tmp_path / "whole.csv.gz").write_bytes(gzip.compress(COVERS))
    assert rows_of(read(spark, "covers", tmp_path / "whole.csv.gz")) == expected
    parts = tmp_path / "parts"
    parts.mkdir()
    header, *lines = COVERS.splitlines(keepends=True)
    (parts / "b.csv").write_bytes(header + b"".join(lines[6:]))
    (parts / "a.csv.gz").write_bytes(gzip.compress(header + b"".join(lines[:6])))
    (parts / "README.md").write_text("not a table")
    assert rows_of(read(spark, "covers", parts)) == expected
    (tmp_path / "named.csv").write_bytes(COVERS.replace(b"Title,image,categories", b"Title,img url,Kind"))
    assert rows_of(read(spark, "covers", tmp_path / "named.csv", url_column="img url", category_column="Kind")) == expected


def test_covers_of_the_real_metadata(spark: SparkSession, shared_data: Path) -> None:
    directory = shared_data / "book-covers" / "amazon-books"
    with gzip.open(next(directory.glob("*.csv.gz")), "rt", encoding="utf-8", newline="") as handle:
        real = list(csv.DictReader(handle))
    rows = rows_of(read(spark, "covers", directory))
    assert len(rows) == len(real) == 1000
    assert [row["url"] or "" for row in rows] == [row["image"] for row in real]
    statuses = Counter(row["status"] for row in rows)
    assert statuses.total() == 1000
    assert statuses[Status.MISSING_IMAGE.value] == sum(not row["image"] for row in real) == 192
    assert statuses[Status.MISSING_CATEGORY.value] == sum(bool(row["image"]) and not row["categories"] for row in real)
    assert Counter(row["label"] for row in rows)["Fiction"] == 112
    assert set(statuses) <= {None, "missing-image", "missing-category", "duplicate"}


def test_covers_reads_the_demos_catalogue(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "books.csv"
    write_catalogue(str(path), classes=3, per_class=20, seed=1)
    statuses = Counter(row["status"] for row in rows_of(read(spark, "demo", path)))
    assert {None, "missing-image", "missing-category", "duplicate"} <= set(statuses)


def test_covers_counts_150_000_rows_in_seconds(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "large.csv.gz"
    with gzip.open(path, "wt", compresslevel=1, newline="") as handle:
        handle.write("Title,image,categories\n")
        handle.writelines(f"t,{'' if number % 5 == 0 else f'http://a/{number // 2}.jpg'},['c{number % 7000}']\n" for number in range(150_000))
    started = time.monotonic()
    counts = {row["status"]: row["count"] for row in read(spark, "covers", path).groupBy("status").count().collect()}
    assert sum(counts.values()) == 150_000
    assert counts["missing-image"] == 30_000
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    ("content", "changes", "error", "says"),
    [
        (None, {}, UsageError, "does not exist"),
        (b"", {}, DataError, "empty"),
        (COVERS, {"category_column": "genre"}, UsageError, "Title, image, categories"),
        (COVERS, {"url_column": "cover"}, UsageError, "no column 'cover'"),
        (b'Title,image,categories\n"never closed' + b"x" * 1_200_000, {}, DataError, "CSV"),
    ],
)
def test_covers_says_what_is_wrong_with_the_input(spark: SparkSession, tmp_path: Path, content: bytes | None, changes: dict[str, str], error: type[Exception], says: str) -> None:
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    settings = PrepareSettings(source="covers", input=str(path), **changes).resolved()
    with pytest.raises(error, match=says), reading_input(settings):
        catalogue_of("covers")(spark, settings).collect()


def test_covers_refuses_tables_with_different_headers_damaged_gzip_and_empty_directories(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no table"):
        read(spark, "covers", tmp_path)
    (tmp_path / "a.csv").write_bytes(COVERS)
    (tmp_path / "b.csv").write_text("image,categories\n")
    with pytest.raises(UsageError, match="different columns"):
        read(spark, "covers", tmp_path)
    damaged = tmp_path / "damaged.csv.gz"
    damaged.write_bytes(b"this is not gzip")
    with pytest.raises(DataError, match=r"damaged\.csv\.gz"):
        read(spark, "covers", damaged)


# cifar10


def png(colour: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (32, 32), (colour, 0, 255 - colour)).save(content, "PNG")
    return content.getvalue()


def test_cifar10_of_the_real_parquet(spark: SparkSession, shared_data: Path) -> None:
    frame = read(spark, "cifar10", shared_data / "cifar10")
    counts = {(row["split"], row["label"]): row["count"] for row in frame.groupBy("split", "label").count().collect()}
    assert counts == {(split, name): number for split, number in (("train", 5000), ("test", 1000)) for name in CLASSES}
    assert frame.select("row").distinct().count() == frame.select("id").distinct().count() == 60_000
    first = frame.where("row < 3").orderBy("row").collect()
    file = pq.ParquetFile(shared_data / "cifar10" / "test-00000-of-00001.parquet").read_row_group(0).slice(0, 3).to_pylist()
    assert [(row["id"], row["label"], bytes(row["image"])) for row in first] == [(row["path"], row["label_name"], row["image"]) for row in file]


@pytest.mark.parametrize("name", ["img", "image"])
def test_cifar10_in_hugging_faces_layout(spark: SparkSession, tmp_path: Path, name: str) -> None:
    for number, file in enumerate(("plain_text/test-00000-of-00001.parquet", "plain_text/train-00000-of-00001.parquet")):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        table = {name: [{"bytes": png(10 * number + index), "path": None} for index in range(3)], "label": pa.array([0, 9, 11], pa.int64())}
        pq.write_table(pa.table(table), tmp_path / file)
    (tmp_path / "README.md").write_text("a card")
    rows = rows_of(read(spark, "cifar10", tmp_path))
    assert [(row["id"], row["label"], row["split"], row["status"]) for row in rows][:3] == [
        ("test/test-00000-of-00001/0", "airplane", "test", None),
        ("test/test-00000-of-00001/1", "truck", "test", None),
        ("test/test-00000-of-00001/2", None, "test", "missing-category"),
    ]
    assert rows[3]["id"] == "train/train-00000-of-00001/0"
    assert [bytes(row["image"]) for row in rows] == [png(colour) for colour in (0, 1, 2, 10, 11, 12)]


def test_cifar10_binary_batches_become_png_without_loss(spark: SparkSession, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    pixels = random.integers(0, 256, (3, 700, 3, 32, 32), dtype=np.uint8)
    labels = random.integers(0, 10, (3, 700), dtype=np.uint8)
    for number, name in enumerate(("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin")):
        content = np.concatenate([labels[number][:, None], pixels[number].reshape(700, -1)], axis=1)
        (tmp_path / name).write_bytes(content.tobytes())
    (tmp_path / "batches.meta.txt").write_text("\n".join(f"class {index}" for index in range(10)) + "\n\n")
    frame = read(spark, "cifar10", tmp_path)
    rows = rows_of(frame)
    assert Counter(row["split"] for row in rows) == {"train": 1400, "test": 700}
    assert (rows[0]["id"], rows[1400]["id"]) == ("train/data_batch_1/0", "test/test_batch/0")
    for number in (0, 650, 1399, 1400, 2099):
        batch, index = divmod(number, 700)
        assert rows[number]["label"] == f"class {labels[batch][index]}"
        shown = np.asarray(Image.open(io.BytesIO(rows[number]["image"])))
        assert (shown == pixels[batch][index].transpose(1, 2, 0)).all()


def test_cifar10_says_what_is_wrong_with_the_input(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read(spark, "cifar10", tmp_path / "absent")
    with pytest.raises(UsageError, match="neither Parquet nor binary batches"):
        read(spark, "cifar10", tmp_path)
    pq.write_table(pa.table({"label": [1], "pixels": [b"x"]}), tmp_path / "train-0.parquet")
    with pytest.raises(UsageError, match=r"no column 'image' or 'img'.*label, pixels"):
        read(spark, "cifar10", tmp_path)
    (tmp_path / "train-0.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read(spark, "cifar10", tmp_path)
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3073 * 2 - 1))
    with pytest.raises(DataError, match="cut off"):
        read(spark, "cifar10", tmp_path)


# fashion-mnist


def test_fashion_mnist_of_the_real_files(spark: SparkSession, shared_data: Path) -> None:
    frame = read(spark, "fashion-mnist", shared_data / "fashion-mnist")
    counts = {(row["split"], row["label"]): row["count"] for row in frame.groupBy("split", "label").count().collect()}
    assert counts == {(split, name): number for split, number in (("train", 6000), ("test", 1000)) for name in FASHION}
    assert frame.select("row").distinct().count() == frame.select("id").distinct().count() == 70_000


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_fashion_mnist_becomes_grey_png_without_loss(spark: SparkSession, tmp_path: Path, ending: str) -> None:
    written = write_fashion(tmp_path, ending, (700, 30))
    rows = rows_of(read(spark, "fashion-mnist", tmp_path))
    assert Counter(row["split"] for row in rows) == {"train": 700, "test": 30}
    for number, prefix, index, name in ((0, "train", 0, "train/0"), (650, "train", 650, "train/650"), (700, "t10k", 0, "test/0"), (729, "t10k", 29, "test/29")):
        images, labels = written[prefix]
        assert (rows[number]["id"], rows[number]["label"]) == (name, FASHION[labels[index]])
        shown = Image.open(io.BytesIO(rows[number]["image"]))
        assert shown.mode == "L"
        assert (np.asarray(shown) == images[index]).all()


def test_fashion_mnist_says_what_is_wrong_with_the_input(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no train-images-idx3-ubyte or train-images-idx3-ubyte\.gz in"):
        read(spark, "fashion-mnist", tmp_path)
    write_fashion(tmp_path, "", (4, 2))
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    whole = labels.read_bytes()
    for content, says in ((whole[:-1], "cut off"), (whole[:3], "damaged"), (b"\0\0\x0d\1" + whole[4:], "no IDX file of unsigned bytes in 1 dimension")):
        labels.write_bytes(content)
        with pytest.raises(DataError, match=rf"t10k-labels-idx1-ubyte.* {says}"):
            read(spark, "fashion-mnist", tmp_path)
    write_idx(labels, np.zeros(3, np.uint8))
    with pytest.raises(DataError, match=r"has 2 images, .* has 3 labels"):
        read(spark, "fashion-mnist", tmp_path)
    images = tmp_path / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.* cut off"):
        read(spark, "fashion-mnist", tmp_path)


# folder


def test_folder_takes_images_of_any_name_and_nothing_else(spark: SparkSession, tmp_path: Path) -> None:
    root = tmp_path / "my {photos} 100%20 [x]"
    files = ["cat/a.jpg", "cat/B.JPG", "cat/deep/er/c.Jpeg", "dog & 猫/ü 1%2F.png", "dog & 猫/d.webp", "top.gif"]
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    for name in ("cat/notes.txt", "cat/thumbs.db", "cat/jpg"):
        (root / name).write_text("no image")
    (root / "empty class").mkdir()
    rows = rows_of(read(spark, "folder", root))
    assert {row["id"]: row["label"] for row in rows} == {name: name.split("/")[0] if "/" in name else None for name in files}
    assert [row["id"] for row in rows] == sorted(files, key=str.encode)
    assert all(bytes(row["image"]) == row["id"].encode() for row in rows)
    assert [row["id"] for row in rows if row["status"]] == ["top.gif"]


def test_folder_counts_files_of_no_bytes(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("cat/a.jpg", "cat/empty.png", "dog/empty.JPG", "dog/.hidden.png", "dog/empty.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"picture" if name == "cat/a.jpg" else b"")
    rows = rows_of(read(spark, "folder", tmp_path))
    assert [(row["row"], row["id"], row["label"], bytes(row["image"])) for row in rows] == [
        (0, "cat/a.jpg", "cat", b"picture"),
        (1, "cat/empty.png", "cat", b""),
        (2, "dog/empty.JPG", "dog", b""),
    ]


def test_folder_says_what_is_wrong_with_the_input(spark: SparkSession, tmp_path: Path) -> None:
    for what in ("absent", "file"):
        (tmp_path / "file").write_text("x")
        with pytest.raises(UsageError, match="no directory"):
            read(spark, "folder", tmp_path / what)
    with pytest.raises(UsageError, match=r"no class folders\. Received: .*Accepted: a directory with one folder per class"):
        read(spark, "folder", tmp_path)
    (tmp_path / "class").mkdir()
    with pytest.raises(UsageError, match="no images"):
        read(spark, "folder", tmp_path)
    (tmp_path / "_class").mkdir()
    with pytest.raises(UsageError, match="_class"):
        read(spark, "folder", tmp_path)


@pytest.mark.cluster
def test_folder_on_hdfs(spark: SparkSession, hdfs: str) -> None:
    from slotwise import storage

    for name in ("cat/a b.jpg", "dög/c.PNG"):
        storage.write_bytes(storage.join(hdfs, name), name.encode())
    settings = PrepareSettings(source="folder", input=hdfs).resolved()
    rows = rows_of(catalogue_of("folder")(spark, settings))
    assert [(row["id"], row["label"], bytes(row["image"]).decode()) for row in rows] == [("cat/a b.jpg", "cat", "cat/a b.jpg"), ("dög/c.PNG", "dög", "dög/c.PNG")]
