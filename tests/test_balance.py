"""Balancing, by hand on small tables: who gets in, where it lands, and that it stays there."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from slotwise.balance.quota import class_weights, split_quotas, training_targets
from slotwise.balance.stage import Balanced, balance
from slotwise.contracts.catalogue import SPLITS
from slotwise.contracts.hashing import split_of, unit_hash
from slotwise.errors import DataError
from slotwise.settings.prepare import PrepareSettings

MakeBalanced = Callable[..., Balanced]
COLUMNS = "id string, label string, picture string, status string, error string, split string"
PERCENTS = st.tuples(st.integers(1, 99), st.integers(0, 98)).filter(lambda pair: sum(pair) < 100).map(lambda pair: (*pair, 100 - sum(pair)))


@given(per_class=st.integers(5, 1_000_000), percents=PERCENTS)
def test_quotas_add_up_and_are_within_one_of_exact(per_class: int, percents: tuple[int, int, int]) -> None:
    quotas = split_quotas(per_class, percents)
    assert list(quotas) == list(SPLITS)
    assert sum(quotas.values()) == per_class
    for split, percent in zip(SPLITS, percents, strict=True):
        assert abs(quotas[split] - per_class * percent / 100) < 1


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=30))
def test_weights_are_inverse_to_sizes_with_mean_one_over_samples(counts: list[int]) -> None:
    weights = class_weights(counts)
    shares = [weight * count for weight, count in zip(weights, counts, strict=True)]
    assert shares == pytest.approx([sum(counts) / len(counts)] * len(counts))


def test_a_class_without_training_images_is_named() -> None:
    with pytest.raises(DataError, match=r"class 'b'.*--classes"):
        training_targets({"a": 3, "b": 0}, "none")


def settings_for(**changes: Any) -> PrepareSettings:
    return PrepareSettings(**{"source": "folder", "input": "x", "logical_shards": 2, "balance": "none", **changes}).resolved()


def row(row_id: str, label: str, split: str | None = None, picture: str | None = None, status: str | None = None) -> tuple[Any, ...]:
    return (row_id, label, None if status else picture or row_id, status, "why" if status else None, split)


@pytest.fixture
def balanced(spark: SparkSession, tmp_path: Path) -> MakeBalanced:
    def of(rows: list[tuple[Any, ...]], **changes: Any) -> Balanced:
        table: DataFrame = spark.createDataFrame(rows, COLUMNS)
        classes = sorted({row[1] for row in rows})
        return balance(table, settings_for(**changes), classes, (tmp_path / uuid.uuid4().hex).as_uri(), given={row[5] for row in rows} - {None})

    return of


def uneven() -> list[tuple[Any, ...]]:
    """Class a: 5 for training, 2 and 2; class b: 3, 1 and 1; two of a failed."""
    numbers = {("a", "train"): 5, ("a", "validation"): 2, ("a", "test"): 2, ("b", "train"): 3, ("b", "validation"): 1, ("b", "test"): 1}
    rows = [row(f"{label}-{split}-{number}", label, split) for (label, split), count in numbers.items() for number in range(count)]
    return [*rows, row("a-lost", "a", "train", status="http-error"), row("b-lost", "b", "test", status="timeout")]


@pytest.mark.parametrize(
    ("how", "training", "spare", "weights"),
    [
        ("none", {"a": 5, "b": 3}, 0, None),
        ("undersample", {"a": 3, "b": 3}, 2, None),
        ("oversample", {"a": 5, "b": 5}, 0, None),
        ("weights", {"a": 5, "b": 3}, 0, [8 / 10, 8 / 6]),
    ],
)
def test_the_training_split_alone_is_evened_out(balanced: MakeBalanced, how: str, training: dict[str, int], spare: int, weights: list[float] | None) -> None:
    result = balanced(uneven(), balance=how)
    assert result.counts == {"train": training, "validation": {"a": 2, "b": 1}, "test": {"a": 2, "b": 1}}
    assert result.class_weights == (None if weights is None else pytest.approx(weights))
    samples, ends = result.samples.collect(), result.ends.collect()
    assert Counter((sample["split"], result.classes[sample["label_index"]]) for sample in samples) == Counter({(split, label): count for split, counts in result.counts.items() for label, count in counts.items()})
    expected = {"used": 14 - spare, "spare": spare, "http-error": 1, "timeout": 1}
    assert Counter(end["status"] for end in ends) == Counter({status: count for status, count in expected.items() if count})
    assert {end["error"] for end in ends if end["status"] in ("http-error", "timeout")} == {"why"}
    assert {sample["id"] for sample in samples} == {end["id"] for end in ends if end["status"] == "used"}
    assert len({sample["sample_id"] for sample in samples}) == len(samples)


def test_repeats_differ_by_one_copy_at_most_and_stay_in_training(balanced: MakeBalanced) -> None:
    rows = [row(f"{label}{number}", label, "train") for label, count in (("a", 17), ("b", 7), ("c", 1)) for number in range(count)]
    rows += [row(f"{label}-{split}", label, split) for label in "abc" for split in ("validation", "test")]
    result = balanced(rows, balance="oversample")
    samples = result.samples.collect()
    assert len({sample["sample_id"] for sample in samples}) == len(samples) == 3 * 17 + 6
    copies: dict[int, list[int]] = defaultdict(list)
    for (label, _), count in Counter((sample["label_index"], sample["id"]) for sample in samples if sample["split"] == "train").items():
        copies[label].append(count)
    assert {label: Counter(counts) for label, counts in copies.items()} == {0: {1: 17}, 1: {2: 4, 3: 3}, 2: {17: 1}}
    # The first copy keeps the id of its image, so that a dataset without repeats has none that look like one.
    assert {row[0] for row in rows} <= {sample["sample_id"] for sample in samples}


def test_of_identical_pictures_the_one_in_the_test_split_stays(balanced: MakeBalanced) -> None:
    rows = [row(f"{label}-{split}-{number}", label, split) for label in "ab" for split in ("train", "test") for number in range(20)]
    twins = [row(f"twin-{number}", "a", "train", picture=f"a-test-{number}") for number in range(20)]
    ends = {each["id"]: each["status"] for each in balanced([*rows, *twins]).ends.collect()}
    assert {ends[f"twin-{number}"] for number in range(20)} == {"identical-image"}
    assert {ends[f"a-test-{number}"] for number in range(20)} == {"used"}


def test_of_identical_pictures_the_one_held_out_stays(balanced: MakeBalanced) -> None:
    rows = [row(f"{label}-{split}-{number}", label, split) for label in "ab" for split in SPLITS for number in range(20)]
    twins = [row(f"twin-of-{split}-{number}", "a", "train", picture=f"a-{split}-{number}") for split in ("validation", "test") for number in range(20)]
    result = balanced([*rows, *twins])
    ends = {each["id"]: each["status"] for each in result.ends.collect()}
    assert {row_id for row_id, status in ends.items() if status == "identical-image"} == {twin[0] for twin in twins}
    assert result.counts["validation"] == result.counts["test"] == {"a": 20, "b": 20}


def test_identical_pictures_are_in_one_split_once(balanced: MakeBalanced) -> None:
    rows = [row(f"{label}{number}", label, picture=f"picture {number % 23}" if number % 3 else None) for label in "ab" for number in range(120)]
    rows += [row(f"lost{number}", "a", status="unreadable") for number in range(5)]
    pictures = {entry[0]: entry[2] for entry in rows}
    result = balanced(rows)
    kept = [pictures[sample["id"]] for sample in result.samples.collect()]
    assert len(kept) == len(set(kept))
    assert set(kept) == {picture for picture in pictures.values() if picture is not None}
    ends = Counter(end["status"] for end in result.ends.collect())
    assert ends == {"used": len(kept), "identical-image": 240 - len(kept), "unreadable": 5}


def used_splits(result: Balanced) -> dict[str, str]:
    return {end["id"]: end["split"] for end in result.ends.collect() if end["status"] == "used"}


def test_an_id_keeps_its_split(balanced: MakeBalanced) -> None:
    def rows(labels: str, count: int) -> list[tuple[Any, ...]]:
        return [row(f"{label}{number}", label) for label in labels for number in range(count)]

    small = used_splits(balanced(rows("ab", 150), per_class=50))
    assert Counter((row_id[0], split) for row_id, split in small.items()) == {(label, split): count for label in "ab" for split, count in zip(SPLITS, (30, 10, 10), strict=True)}
    assert small == {row_id: split_of(unit_hash(["split", row_id], 7), (60, 20, 20)) for row_id in small}
    for others in (rows("ab", 400), rows("abc", 150)):
        grown = used_splits(balanced(others, per_class=50))
        assert {row_id: grown[row_id] for row_id in small.keys() & grown.keys()} == {row_id: small[row_id] for row_id in small.keys() & grown.keys()}
    more = used_splits(balanced(rows("ab", 150), per_class=80))
    assert small.items() <= more.items(), "more per class keeps what was there"


def test_a_sources_own_test_split_stays_and_its_training_rows_are_divided(balanced: MakeBalanced) -> None:
    rows = [row(f"{label}-{split}-{number}", label, split) for label in "ab" for split, count in (("train", 400), ("test", 50)) for number in range(count)]
    splits = used_splits(balanced(rows))
    assert len(splits) == 900
    assert {row_id for row_id, split in splits.items() if split == "test"} == {entry[0] for entry in rows if entry[5] == "test"}
    assert Counter(splits.values())["validation"] == pytest.approx(200, abs=50)


def test_a_missing_test_split_is_cut_out_of_training_rows(balanced: MakeBalanced) -> None:
    rows = [row(f"{label}-{split}-{number}", label, split) for label in "ab" for split, count in (("train", 400), ("validation", 50)) for number in range(count)]
    splits = used_splits(balanced(rows))
    assert {row_id for row_id, split in splits.items() if split == "validation"} == {entry[0] for entry in rows if entry[5] == "validation"}
    assert Counter(splits.values())["test"] == pytest.approx(200, abs=50)


@pytest.mark.parametrize("logical_shards", [1, 7])
def test_shards_of_a_split_are_alike_in_size_and_filled_without_gaps(balanced: MakeBalanced, logical_shards: int) -> None:
    rows = [row(f"{label}{number}", label) for label in "abc" for number in range(41)]
    result = balanced(rows, balance="oversample", logical_shards=logical_shards)
    positions: dict[tuple[str, int], list[int]] = defaultdict(list)
    for sample in result.samples.collect():
        positions[sample["split"], sample["shard"]].append(sample["position"])
    for split in SPLITS:
        sizes = [len(positions[split, shard]) for shard in range(logical_shards)]
        assert max(sizes) - min(sizes) <= 1
        assert sum(sizes) == sum(result.counts[split].values())
    assert all(sorted(found) == list(range(len(found))) for found in positions.values())


def test_too_little_is_refused_with_a_way_out(balanced: MakeBalanced) -> None:
    rows = uneven()
    with pytest.raises(DataError, match="class 'c'"):
        balanced([*rows, row("c1", "c", "test"), row("c2", "c", "train", status="truncated")])
    with pytest.raises(DataError, match=r"8 training images cannot fill 9 logical shards.*--logical-shards"):
        balanced(rows, logical_shards=9)
    with pytest.raises(DataError, match=r"test split.*--split"):
        balanced([row(f"{label}{number}", label, "train") for label in "ab" for number in range(5)], split=[98, 1, 1])
