"""The order of samples: the same for every number of slots, each sample once, unlike from epoch to epoch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slotwise.contracts.dataset import DatasetRecord, ShardRecord, SplitRecord
from slotwise.errors import DataError, UsageError
from slotwise.feed.order import Plan, sample_keys, slot_shards, training_plan, validation_partners
from slotwise.settings.train import TrainSettings

Place = tuple[int, int]


def counts_of(samples: int, shards: int) -> tuple[int, ...]:
    return tuple(len(range(shard, samples, shards)) for shard in range(shards))


def steps_of(plan: Plan, slots: int, epoch: int) -> list[list[list[Place]]]:
    """(shard, record) pairs by step and slot."""
    steps: list[list[list[Place]]] = [[] for _ in range(plan.steps)]
    for slot in range(slots):
        order = plan.epoch_order(epoch, slot_shards(slot, slots, len(plan.counts)))
        pairs = list(zip(order.shards.tolist(), order.records.tolist(), strict=True))
        assert len(order.sizes) == plan.steps
        assert sum(order.sizes) == len(pairs)
        # The feed batches by the first step's size.
        assert all(size == order.sizes[0] for size in order.sizes[:-1])
        for step, size in enumerate(order.sizes):
            steps[step].append(pairs[:size])
            pairs = pairs[size:]
    return steps


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_number_of_slots_takes_the_same_steps(data: st.DataObject) -> None:
    shards = data.draw(st.integers(1, 16))
    plan = Plan(
        counts_of(data.draw(st.integers(1, 400)), shards),
        shards * data.draw(st.integers(1, 6)),
        data.draw(st.integers(0, 2**32 - 1)),
        data.draw(st.none() | st.integers(1, 20)),
    )
    slots, epoch = data.draw(st.integers(1, shards)), data.draw(st.integers(0, 1000))
    alone, many = steps_of(plan, 1, epoch), steps_of(plan, slots, epoch)
    for step, (one, parts) in enumerate(zip(alone, many, strict=True)):
        together = [place for part in parts for place in part]
        assert Counter(together) == Counter(one[0])
        assert len(together) == plan.step_images(step)
        for shard in range(shards):
            assert [place for place in together if place[0] == shard] == [place for place in one[0] if place[0] == shard]
    seen = Counter(place for step in many for part in step for place in part)
    assert set(seen.values()) == {1}
    assert sum(seen.values()) == plan.images
    if plan.limit is None:
        assert set(seen) == {(shard, record) for shard, count in enumerate(plan.counts) for record in range(count)}


@pytest.mark.parametrize(
    ("samples", "shards", "batch", "limit", "sizes"),
    [
        (192, 8, 24, None, [24] * 8),
        (200, 8, 24, None, [24] * 8 + [8]),
        (193, 8, 24, None, [24] * 8 + [1]),  # one sample left: most slots have none in the last step
        (10, 8, 24, None, [10]),
        (200, 8, 24, 3, [24] * 3),
        (200, 8, 24, 50, [24] * 8 + [8]),
        (3, 4, 4, None, [3]),  # fewer samples than shards
        (7, 1, 2, None, [2, 2, 2, 1]),
    ],
)
def test_sizes_of_steps(samples: int, shards: int, batch: int, limit: int | None, sizes: list[int]) -> None:
    plan = Plan(counts_of(samples, shards), batch, 7, limit)
    assert [plan.step_images(step) for step in range(plan.steps)] == sizes
    assert plan.images == sum(sizes)


@pytest.mark.parametrize(("batch", "nearest"), [(20, "16 or 24"), (65, "64 or 72"), (5, "8 or 16")])
def test_a_batch_that_cannot_be_shared_out_is_refused(batch: int, nearest: str) -> None:
    with pytest.raises(UsageError, match=rf"8 logical shards.*Received: --batch-size {batch}\. Accepted: .*{nearest}"):
        Plan((25,) * 8, batch, 7)


def test_uneven_shards_are_refused() -> None:
    with pytest.raises(DataError, match="between 10 and 12"):
        Plan((10, 12), 4, 7)


def test_every_epoch_shard_and_seed_has_an_order_of_its_own() -> None:
    orders = {
        (seed, epoch, shard): tuple(Plan((50, 50), 2, seed).shard_order(epoch, shard)) for seed in range(5) for epoch in range(5) for shard in range(2)
    }
    assert len(set(orders.values())) == len(orders)
    assert tuple(Plan((50, 50), 2, 3).shard_order(4, 1)) == orders[3, 4, 1]


@pytest.mark.parametrize(("slots", "shards"), [(1, 16), (3, 16), (5, 8), (16, 16)])
def test_slots_share_the_shards_within_one(slots: int, shards: int) -> None:
    parts = [slot_shards(slot, slots, shards) for slot in range(slots)]
    assert sorted(shard for part in parts for shard in part) == list(range(shards))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_keys_are_unique_and_stay_the_same() -> None:
    shards, records = np.repeat(np.arange(16), 1000), np.tile(np.arange(1000), 16)
    keys = np.concatenate([sample_keys(seed, epoch, shards, records) for seed in (0, 7, 2**32 - 1) for epoch in range(4)])
    assert len(np.unique(keys)) == len(keys)
    assert keys.min() >= 0
    assert (sample_keys(7, 2, shards[500:], records[500:]) == sample_keys(7, 2, shards, records)[500:]).all()
    # Written down, so that a resumed run of an older version goes on with the same draws.
    assert sample_keys(7, 0, np.array([0, 3]), np.array([0, 41])).tolist() == [4574627996721399394, 129082657659089171]


def record_of(*splits: tuple[int, ...]) -> DatasetRecord:
    """A dataset with these samples in the shards of its training, and of its validation, split."""
    found = {}
    for name, counts in zip(("train", "validation"), splits, strict=False):
        shards = [ShardRecord(file=f"{name}/{number}", samples=count, bytes=1, sha256="0") for number, count in enumerate(counts)]
        found[name] = SplitRecord(samples=sum(counts), class_counts=[], shards=shards)
    return DatasetRecord.model_construct(splits=found)


@given(st.integers(1, 20), st.integers(0, 400), st.integers(0, 400))
def test_validation_shards_join_so_that_each_is_there_once_and_all_are_alike(shards: int, training: int, validation: int) -> None:
    record = record_of(counts_of(shards + training, shards), counts_of(validation, shards))
    plan = training_plan(record, TrainSettings(train_on="train+validation", batch_size=shards))
    assert plan.images == shards + training + validation
    assert max(plan.counts) - min(plan.counts) <= 1
    assert sorted(validation_partners(record)) == list(range(shards))


@given(st.integers(1, 20), st.integers(0, 400), st.integers(1, 500))
def test_a_limit_takes_so_many_images_evenly_from_all_shards(shards: int, images: int, limit: int) -> None:
    counts = counts_of(shards + images, shards)
    plan = training_plan(record_of(counts), TrainSettings(limit=max(limit, shards), batch_size=shards))
    assert plan.images == min(sum(counts), max(limit, shards))
    assert all(taken <= count for taken, count in zip(plan.counts, counts, strict=True))
    assert max(plan.counts) - min(plan.counts) <= 1


def test_a_limit_below_an_image_for_each_shard_is_refused() -> None:
    with pytest.raises(UsageError, match="--limit 3"):
        training_plan(record_of((5, 5, 5, 5)), TrainSettings(limit=3, batch_size=4))
