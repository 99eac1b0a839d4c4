"""Hashes and splits are the same in Spark and in Python, and as even as they have to be."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from slotwise.contracts.catalogue import SPLITS
from slotwise.contracts.hashing import split_of, split_of_column, unit_hash, unit_hash_column

TEXTS = ["", "a", "ünïcode \u4e2d\u6587 \U0001f4d6", "http://x/?a=1&b=2", "line\nbreak", " ", "\x1f", None]


def test_spark_and_python_agree_on_hash_and_split(spark: SparkSession) -> None:
    rows = [(text, other, split) for text in TEXTS for other in TEXTS for split in (None, "train", "validation", "test")]
    frame = spark.createDataFrame(rows, "text string, other string, split string")
    unit = unit_hash_column(["text", F.col("other")], 7)
    for percents in ((60, 20, 20), (80, 0, 20), (34, 33, 33)):
        for given_splits in ((), ("train",), ("test", "train"), ("train", "validation"), SPLITS):
            found = frame.select("*", unit.alias("unit"), split_of_column(unit, percents, F.col("split"), given_splits).alias("chosen")).collect()
            for row in found:
                expected = unit_hash([row.text, row.other], 7)
                assert row.unit == expected
                assert row.chosen == split_of(expected, percents, row.split, given_splits)


@given(st.lists(st.text(), max_size=3), st.integers(0, 2**31))
def test_hash_lies_from_0_to_1(texts: list[str], seed: int) -> None:
    texts = [text.encode("utf-8", "ignore").decode("utf-8") for text in texts]
    assert 0 <= unit_hash(texts, seed) < 1


@pytest.mark.parametrize(
    ("unit", "percents", "source", "given_splits", "expected"),
    [
        (0.0, (60, 20, 20), None, (), "train"),
        (0.5999, (60, 20, 20), None, (), "train"),
        (0.6, (60, 20, 20), None, (), "validation"),
        (0.8, (60, 20, 20), None, (), "test"),
        (0.8, (60, 20, 20), None, SPLITS, "test"),
        (0.0, (60, 20, 20), "test", ("train", "test"), "test"),
        (0.74, (60, 20, 20), "train", ("train", "test"), "train"),
        (0.75, (60, 20, 20), "train", ("train", "test"), "validation"),
        (0.74, (60, 20, 20), "train", ("train", "validation"), "train"),
        (0.75, (60, 20, 20), "train", ("train", "validation"), "test"),
        (0.6, (60, 20, 20), "train", ("train",), "validation"),
        (0.8, (60, 20, 20), "train", ("train",), "test"),
        (0.99, (60, 20, 20), "train", SPLITS, "train"),
        (0.99, (80, 0, 20), "train", ("train", "test"), "train"),
        (0.1, (60, 20, 20), "validation", SPLITS, "validation"),
    ],
)
def test_split_boundaries(unit: float, percents: tuple[int, int, int], source: str | None, given_splits: tuple[str, ...], expected: str) -> None:
    assert split_of(unit, percents, source, given_splits) == expected


@given(unit=st.integers(0, 2**52 - 1), train=st.integers(1, 99), validation=st.integers(0, 98), source=st.sampled_from([None, *SPLITS]), given_splits=st.sets(st.sampled_from(SPLITS)))
def test_every_row_has_a_split(unit: int, train: int, validation: int, source: str | None, given_splits: set[str]) -> None:
    validation = min(validation, 99 - train)
    percents = (train, validation, 100 - train - validation)
    split = split_of(unit / 2**52, percents, source, given_splits)
    assert split in SPLITS
    if source == "train":
        assert split == "train" or split not in given_splits


def test_shares_and_seed() -> None:
    split = Counter(split_of(unit_hash([f"id{number}"], 7), (60, 20, 20)) for number in range(20_000))
    assert abs(split["train"] - 12_000) < 300
    assert abs(split["test"] - 4_000) < 250
    assert unit_hash(["a"], 7) != unit_hash(["a"], 8)
