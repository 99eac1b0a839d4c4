"""Shards that readers without our code understand: plain tf.data, plain petastorm, on this machine and on HDFS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from datasets import draw
from slotwise import storage
from slotwise.balance.stage import balance
from slotwise.contracts.catalogue import SPLITS
from slotwise.contracts.dataset import ShardRecord
from slotwise.errors import DataError
from slotwise.export.shards import export
from slotwise.settings.prepare import PrepareSettings

SIZE = (20, 12)
SHARDS = 3
GATHERED = "id string, label string, picture string, status string, error string, split string, image binary"

Shards = dict[str, list[ShardRecord]]
Read = list[tuple[str, int, tuple[int, ...]]]


def settings_for(format_name: str, **changes: Any) -> PrepareSettings:
    values = {"source": "folder", "input": "x", "format": format_name, "image_size": SIZE, "logical_shards": SHARDS, "balance": "oversample"}
    return PrepareSettings(**{**values, **changes}).resolved()


@pytest.fixture(scope="module")
def gathered(spark: SparkSession) -> Iterator[DataFrame]:
    """Two classes of 40 and 10 images; the ids are those of files in folders with names in any script."""
    names = [f"{label}/{number} ä #.jpg" for label, count in (("cats", 40), ("犬", 10)) for number in range(count)]
    rows = [(name, name.partition("/")[0], name, None, None, None, bytearray(draw(number, int(name[0] == "犬"), SIZE))) for number, name in enumerate(names)]
    table = spark.createDataFrame(rows, GATHERED).cache()
    yield table
    table.unpersist()


def written(spark: SparkSession, gathered: DataFrame, target: str, settings: PrepareSettings) -> tuple[Shards, dict[str, list[list[tuple[str, int]]]]]:
    """The records of the shards, and (sample id, label) for each in the order that balancing decided."""
    decided = balance(gathered, settings, ["cats", "犬"], f"{target}-balanced", given=())
    shards = export(spark, decided.samples, gathered.select("id", "image"), target, settings)
    wanted: dict[str, list[list[tuple[str, int]]]] = {split: [[] for _ in range(settings.logical_shards)] for split in SPLITS}
    for sample in decided.samples.orderBy("position").collect():
        wanted[sample["split"]][sample["shard"]].append((sample["sample_id"], sample["label_index"]))
    return shards, wanted


def read_by_tensorflow(files: list[str]) -> Read:
    import tensorflow as tf

    features = {"id": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64), "image": tf.io.FixedLenFeature([], tf.string)}
    parsed = (tf.io.parse_single_example(record, features) for record in tf.data.TFRecordDataset(files))
    return [(row["id"].numpy().decode(), int(row["label"]), tf.io.decode_jpeg(row["image"]).numpy().shape) for row in parsed]


def read_by_petastorm(directory: Path) -> Read:
    from petastorm import make_reader

    with make_reader(directory.as_uri(), reader_pool_type="dummy", shuffle_row_groups=False, num_epochs=1) as reader:
        rows = list(reader)
    assert all(row.image.dtype == np.uint8 and row.image.max() > row.image.min() for row in rows)
    return [(row.id, int(row.label), row.image.shape) for row in rows]


def brought_here(uri: str, split: str, directory: Path) -> Path:
    """The files of a split as they would be after `hdfs dfs -get`."""
    for name in storage.children(storage.join(uri, split)):
        storage.download(storage.join(uri, split, name), str(directory / split / name))
    return directory / split


@pytest.mark.parametrize("format_name", ["tfrecord", "parquet"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_plain_readers_find_every_sample_in_its_place(spark: SparkSession, gathered: DataFrame, place: str, tmp_path: Path, format_name: str) -> None:
    target = storage.join(place, "data set")
    shards, wanted = written(spark, gathered, target, settings_for(format_name))
    for split in SPLITS:
        local = brought_here(target, split, tmp_path / "here")
        for shard, record in enumerate(shards[split]):
            assert record.file == f"{split}/shard-{shard:05d}.{format_name}"
            assert record.samples == len(wanted[split][shard])
            assert record.bytes == storage.size(storage.join(target, record.file))
            assert record.sha256 == storage.file_sha256(str(tmp_path / "here" / record.file))
        in_order = [(*sample, (*SIZE, 3)) for shard_samples in wanted[split] for sample in shard_samples]
        files = [str(tmp_path / "here" / record.file) for record in shards[split]]
        assert (read_by_tensorflow(files) if format_name == "tfrecord" else read_by_petastorm(local)) == in_order
    assert sum(len(samples) for samples in wanted["train"]) == sum(record.samples for record in shards["train"]) > 0


@pytest.mark.parametrize("format_name", ["tfrecord", "parquet"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_empty_validation_split_has_empty_shards(spark: SparkSession, gathered: DataFrame, tmp_path: Path, format_name: str) -> None:
    shards, wanted = written(spark, gathered, tmp_path.as_uri(), settings_for(format_name, split=["80,0,20"]))
    assert [record.samples for record in shards["validation"]] == [0] * SHARDS
    assert all((tmp_path / record.file).exists() for record in shards["validation"])
    assert sum(record.samples for split in SPLITS for record in shards[split]) == sum(len(samples) for split in SPLITS for samples in wanted[split])
    if format_name == "parquet":
        assert len(read_by_petastorm(tmp_path / "test")) == sum(record.samples for record in shards["test"])


def test_a_lost_image_is_no_dataset(spark: SparkSession, gathered: DataFrame, tmp_path: Path) -> None:
    settings = settings_for("tfrecord")
    samples = balance(gathered, settings, ["cats", "犬"], (tmp_path / "balanced").as_uri(), given=()).samples
    with pytest.raises(DataError, match="samples were written instead of"):
        export(spark, samples, gathered.where("id not like '%7 ä%'").select("id", "image"), tmp_path.as_uri(), settings)
