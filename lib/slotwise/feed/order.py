"""Which sample is seen when: pure arithmetic over (seed, epoch, step, logical shard), the same for every number of slots.

The idea of a fixed number of logical shards that any number of workers share is that of "canonical nodes" in MosaicML
Streaming (https://docs.mosaicml.com/projects/streaming, "Elastic Determinism") and of "virtual nodes" in VirtualFlow
(https://arxiv.org/abs/2009.09523).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slotwise.contracts.dataset import DatasetRecord
from slotwise.errors import DataError, UsageError
from slotwise.settings.training import TrainingSettings, check_batch_size


@dataclass(frozen=True)
class Plan:
    """The order of one training split.

    Args:
        counts: samples of each logical shard; they differ by one at most.
        batch_size: samples of a step over all slots; a multiple of the number of logical shards.
        seed: seed of the order.
        limit: end an epoch after that many steps, or None.

    Raises:
        UsageError: the batch cannot be shared out evenly over the logical shards.
        DataError: the logical shards differ by more than one sample.
    """

    counts: tuple[int, ...]
    batch_size: int
    seed: int
    limit: int | None = None

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size, len(self.counts))
        # Otherwise a slot's steps would shrink before the last one, and batches of equal size would no longer be its steps.
        if max(self.counts) - min(self.counts) > 1:
            raise DataError(f"The logical shards of the training split have between {min(self.counts)} and {max(self.counts)} samples; they may differ by one at most")

    @property
    def per_shard(self) -> int:
        """Samples that a full step takes from each logical shard."""
        return self.batch_size // len(self.counts)

    @property
    def steps(self) -> int:
        """Steps of an epoch; the last one may be smaller."""
        whole = -(-max(self.counts) // self.per_shard)
        return min(whole, self.limit) if self.limit else whole

    @property
    def images(self) -> int:
        """Samples of an epoch over all slots."""
        return sum(self.step_images(step) for step in range(self.steps))

    def step_images(self, step: int, shards: Sequence[int] | None = None) -> int:
        """Samples of one step from some logical shards, or over all slots, known to each slot without asking the others."""
        counts = self.counts if shards is None else [self.counts[shard] for shard in shards]
        return sum(min(self.per_shard, max(0, count - step * self.per_shard)) for count in counts)

    def shard_order(self, epoch: int, shard: int) -> npt.NDArray[np.int64]:
        """The records of a logical shard in the order in which an epoch takes them, int64 [count]."""
        generator = np.random.Generator(np.random.Philox(key=_key(self.seed, epoch, shard)))
        return generator.permutation(self.counts[shard])

    def epoch_order(self, epoch: int, shards: tuple[int, ...]) -> SlotOrder:
        """What the slot that holds `shards` feeds in an epoch, step by step."""
        orders = [self.shard_order(epoch, shard) for shard in shards]
        chosen_shards, records, places, sizes = [], [], [], []
        for step in range(self.steps):
            parts = [order[step * self.per_shard : (step + 1) * self.per_shard] for order in orders]
            chosen_shards += [np.full(len(part), shard, np.int64) for shard, part in zip(shards, parts, strict=True)]
            records += parts
            places += [shard * self.per_shard + np.arange(len(part)) for shard, part in zip(shards, parts, strict=True)]
            sizes.append(self.step_images(step, shards))
        return SlotOrder(np.concatenate(chosen_shards), np.concatenate(records), np.concatenate(places), tuple(sizes))


@dataclass(frozen=True)
class SlotOrder:
    """One slot's samples of an epoch: `shards[i]`, `records[i]`, int64; `sizes[s]` samples belong to step s.

    `places[i]` (int64) is a sample's own place in its global batch, from 0 to the batch size.
    """

    shards: npt.NDArray[np.int64]
    records: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    sizes: tuple[int, ...]


def training_plan(record: DatasetRecord, settings: TrainingSettings) -> Plan:
    """The order that settings give the training images of a dataset.

    Raises:
        UsageError: batch size or limit cannot be shared out over the logical shards.
        DataError: the logical shards differ by more than one sample.
    """
    counts = tuple(shard.samples for shard in record.splits["train"].shards)
    if settings.train_on == "train+validation":
        partners = validation_partners(record)
        counts = tuple(count + record.splits["validation"].shards[partner].samples for count, partner in zip(counts, partners, strict=True))
    if settings.limit:
        if settings.limit < len(counts):
            raise UsageError(f"Each of the dataset's {len(counts)} logical shards gives at least one image", received=f"--limit {settings.limit}", accepted=f"a whole number from {len(counts)}")
        share, rest = divmod(settings.limit, len(counts))
        counts = tuple(min(count, share + (shard < rest)) for shard, count in enumerate(counts))
    return Plan(counts, settings.batch_size, settings.seed, settings.steps_per_epoch)


def validation_partners(record: DatasetRecord) -> tuple[int, ...]:
    """For each training shard the validation shard that joins it where both are trained on.

    The larger go to the smaller, so that logical shards still differ by one sample at most.
    """
    train, validation = ([shard.samples for shard in record.splits[split].shards] for split in ("train", "validation"))
    shards = range(len(train))
    smallest_first, largest_first = sorted(shards, key=train.__getitem__), sorted(shards, key=validation.__getitem__, reverse=True)
    partners = dict(zip(smallest_first, largest_first, strict=True))
    return tuple(partners[shard] for shard in shards)


def slot_shards(slot: int, slots: int, logical_shards: int) -> tuple[int, ...]:
    """The logical shards that a slot handles: every `slots`-th, so that any N up to L shares them within one."""
    return tuple(range(slot, logical_shards, slots))


def sample_keys(seed: int, epoch: int, shards: npt.NDArray[np.int64], records: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """One 62-bit key for each sample of an epoch, int64 [n]: the seed of its augmentation and dropout.

    SplitMix64 (Steele, Lea, Flood 2014) over the four numbers: unequal inputs give unrelated keys.
    """
    state = np.full(shards.shape, np.uint64(seed), np.uint64)
    for part in (np.full(shards.shape, epoch), shards, records):
        state = _split_mix(state ^ _split_mix(part.astype(np.uint64)))
    return (state >> np.uint64(2)).astype(np.int64)


def _split_mix(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        value = value + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return value ^ (value >> np.uint64(31))


def _key(seed: int, epoch: int, shard: int) -> npt.NDArray[np.uint64]:
    """A Philox key: the seed in one word, epoch and logical shard in the other, so that no two orders share one."""
    return np.array([seed, epoch << 32 | shard], np.uint64)
