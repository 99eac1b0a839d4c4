"""What one Spark task of evaluate does: a logical shard of a prepared dataset through the model, down to sums and a few images."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from slotwise.contracts.dataset import DatasetRecord
from slotwise.errors import DataError
from slotwise.evaluation.answers import Kept, Selection, answers, keep, kept
from slotwise.evaluation.tally import Tally, tally
from slotwise.feed.shards import local_shards
from slotwise.formats import tfrecord
from slotwise.inference.worker import SentModel


class ShardFindings(NamedTuple):
    """Of one shard, or of several together; `tally` is None where there is no image."""

    tally: Tally | None
    kept: Kept


@dataclass(frozen=True)
class EvaluateTask:
    """Evaluates logical shards of a split, by number; a task holds one batch at a time."""

    dataset: str
    record: DatasetRecord
    split: str
    model: SentModel
    selection: Selection
    batch_size: int
    cache: str | None

    def __call__(self, shard: int) -> ShardFindings:
        (path,) = local_shards(self.dataset, self.record, self.split, [shard], self.cache)
        samples = tfrecord.read(path)
        found = ShardFindings(None, Kept())
        while chunk := list(islice(samples, self.batch_size)):
            try:
                logits = self.model.classifier().logits([sample.image for sample in chunk])
            except DataError as error:
                raise DataError(f"{self.record.splits[self.split].shards[shard].file} of {self.dataset}: {error}") from None
            sums = tally(logits, np.array([sample.label for sample in chunk], np.int64))
            found = ShardFindings(sums if found.tally is None else found.tally + sums, keep([found.kept, kept(answers(chunk, logits))], self.selection))
        return found
