"""The largest classes and enough candidates of each split, the same ones in every run."""

from __future__ import annotations

from collections import Counter

import pytest
from pyspark.sql import DataFrame, SparkSession

from slotwise.catalogue import candidates, given_splits, narrow, select_classes, with_images
from slotwise.contracts.catalogue import CATALOGUE_SCHEMA
from slotwise.contracts.hashing import split_of, unit_hash
from slotwise.errors import UsageError

SIZES = {"b": 300, "a": 300, "c": 120, "d": 5}
PERCENTS = (60, 20, 20)


@pytest.fixture(scope="module")
def catalogue(spark: SparkSession) -> DataFrame:
    labels = [label for label, size in SIZES.items() for _ in range(size)]
    rows = [(row, f"id{row}", label, None, bytearray(b"image %d" % row), None, None, None) for row, label in enumerate(labels)]
    rows += [(len(rows) + extra, f"bad{extra}", "d", None, None, None, "malformed-row", "x") for extra in range(400)]
    return spark.createDataFrame(rows, CATALOGUE_SCHEMA).repartition(5)


def test_classes_are_the_largest_by_candidates_and_equal_ones_by_name(catalogue: DataFrame) -> None:
    assert select_classes(catalogue, 3) == [("a", 300), ("b", 300), ("c", 120)]
    assert select_classes(catalogue, None) == [("a", 300), ("b", 300), ("c", 120), ("d", 5)]
    with pytest.raises(UsageError, match=r"4 classes.*--classes 5.*from 2 to 4"):
        select_classes(catalogue, 5)
    with pytest.raises(UsageError, match="two classes"):
        select_classes(catalogue.where("label = 'a'"), None)


def test_classes_can_be_chosen_by_name(spark: SparkSession) -> None:
    names = ["Tomato___healthy", "Tomato rot (late)", "tomato", "Potato___healthy", "C++", "C+++", "C%_1", "Cx_1", "new\nline"]
    rows = [(row, f"id{row}", label, None, None, None, None, None) for row, label in enumerate(names)]
    table = spark.createDataFrame(rows, CATALOGUE_SCHEMA)

    def chosen(*patterns: str) -> set[str]:
        return {label for label, _ in select_classes(table, None, patterns)}

    assert chosen("Tomato*") == {"Tomato___healthy", "Tomato rot (late)"}
    assert chosen("tomato", "C++") == {"tomato", "C++"}
    assert chosen("C%_?", "C+++") == {"C%_1", "C+++"}
    assert chosen("new?line", "C++") == {"new\nline", "C++"}
    assert chosen("*") == set(names)
    with pytest.raises(UsageError, match=r"^1 classes .*--class-pattern tomato\..*patterns that two classes or more fit, of C%_1, "):
        chosen("tomato")
    with pytest.raises(UsageError, match=r"2 classes of such names.*--classes 3.*from 2 to 2"):
        select_classes(table, 3, ["Tomato*"])


def test_other_classes_are_set_aside_and_no_row_is_lost(catalogue: DataFrame) -> None:
    narrowed = narrow(catalogue, ["a", "c"])
    statuses = {(row["label"], row["status"]): row["count"] for row in narrowed.groupBy("label", "status").count().collect()}
    assert statuses == {("a", None): 300, ("c", None): 120, ("b", "other-category"): 300, ("d", "other-category"): 5, ("d", "malformed-row"): 400}


def chosen_ids(catalogue: DataFrame, per_class: int | None, seed: int = 7, **changes: object) -> dict[str, str]:
    found = candidates(catalogue, per_class=per_class, reserve=0.5, percents=PERCENTS, seed=seed, **changes)  # type: ignore[arg-type]
    assert "image" not in found.columns
    assert found.count() == catalogue.count()
    return {row["id"]: row["label"] for row in found.where("status is null").collect()}


def test_each_class_keeps_what_its_splits_need_with_a_reserve(catalogue: DataFrame) -> None:
    kept = chosen_ids(catalogue, 100)
    splits = Counter((label, split_of(unit_hash(["split", row_id], 7), PERCENTS)) for row_id, label in kept.items())
    for label in "ab":
        assert [splits[label, split] for split in ("train", "validation", "test")] == [90, 30, 30]
    assert sum(splits["d", split] for split in ("train", "validation", "test")) == 5
    assert chosen_ids(catalogue.repartition(2), 100) == kept
    assert set(kept) <= set(chosen_ids(catalogue, 150)), "asking for more keeps what was there"
    assert set(kept) != set(chosen_ids(catalogue, 100, seed=8))
    assert len(chosen_ids(catalogue, None)) == sum(SIZES.values())


def test_a_sources_own_split_is_kept_and_counted(catalogue: DataFrame) -> None:
    from pyspark.sql import functions as F

    own = catalogue.withColumn("split", F.when(F.col("row") % 3 == 0, "test").otherwise("train"))
    kept = chosen_ids(own.where("label = 'a'"), 100, given=given_splits(own))
    tests = {row["id"] for row in own.where("split = 'test'").collect()}
    assert len(set(kept) & tests) == 30
    assert len(set(kept) - tests) == 120
    assert given_splits(own) == ["test", "train"]
    assert given_splits(catalogue) == []
    assert given_splits(own.withColumn("split", F.when(F.col("status").isNotNull(), "validation").otherwise("train"))) == ["train"], "no usable row is for validation"


def test_images_come_back_for_the_chosen_rows_alone(catalogue: DataFrame) -> None:
    chosen = candidates(catalogue, per_class=20, reserve=0, percents=PERCENTS, seed=1).where("status is null")
    rows = with_images(catalogue, chosen).collect()
    assert len(rows) == 20 * 3 + 5 or len(rows) == chosen.count()
    assert all(bytes(row["image"]) == b"image %d" % row["row"] for row in rows)
