"""What Spark's tasks of an export do: convert into one format, measure a logical shard, time all formats in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from pyspark.core.broadcast import Broadcast

from slotwise.contracts.dataset import DatasetRecord
from slotwise.contracts.export import ORIGINAL, MissingRecord, TimeRecord
from slotwise.conversion.agreement import NOTHING, Agreement, agreement
from slotwise.conversion.formats import FORMATS, Answers, Converted, Files, Pixels
from slotwise.conversion.timing import in_turn, quartiles
from slotwise.errors import DataError
from slotwise.feed.shards import local_shards
from slotwise.inference.worker import SentModel, load_tensorflow
from slotwise.settings.export import FormatName

TIMED_BATCHES = (1, 32)
_READ_AT_A_TIME = 64

# What this worker has opened, by the key of the export.
_opened: dict[str, dict[str, Answers]] = {}


@dataclass(frozen=True)
class Images:
    """A dataset's images for tasks, as training decodes them."""

    dataset: str
    record: DatasetRecord
    cache: str | None

    def shard(self, split: str, shard: int, batch_size: int, cores: int) -> Iterator[tuple[Pixels, npt.NDArray[np.int64]]]:
        """The batches of a logical shard: pixels [b, height, width, channels] and classes [b].

        Raises:
            DataError: the shard is damaged, or an image in it cannot be decoded.
        """
        import tensorflow as tf

        from slotwise.feed.pipeline import evaluation_batches

        paths = local_shards(self.dataset, self.record, split, [shard], self.cache)
        shape = (*self.record.image_size, self.record.channels)
        try:
            for images, labels in evaluation_batches(paths, shape, batch_size=batch_size, threads=cores):
                yield images.numpy(), labels.numpy()
        except tf.errors.InvalidArgumentError as error:
            raise DataError(f"{self.record.splits[split].shards[shard].file} of {self.dataset}: TensorFlow cannot decode a JPEG: {error.message.splitlines()[0]}") from None

    def first(self, split: str, count: int, cores: int) -> Pixels:
        """The first images of a split in the order of its shards, or all where there are fewer; uint8 [n, height, width, channels]."""
        batches: list[Pixels] = []
        for shard in range(self.record.logical_shards):
            for pixels, _ in self.shard(split, shard, min(count, _READ_AT_A_TIME), cores):
                batches.append(pixels)
                if sum(map(len, batches)) >= count:
                    return np.concatenate(batches)[:count]
        return np.concatenate(batches)


@dataclass(frozen=True)
class ConvertTask:
    """Converts the model into a format; what a converter cannot do is a reason, not an error."""

    model: SentModel
    images: Images
    calibration_images: int

    def __call__(self, name: FormatName) -> Converted | MissingRecord:
        cores = load_tensorflow()
        from slotwise.conversion.original import Original

        form = FORMATS[name]
        shape = self.model.image_shape
        calibration = self.images.first("validation", self.calibration_images, cores) if form.is_calibrated else np.empty((0, *shape), np.uint8)
        original = Original(self.model.content.value, shape, len(self.model.classes), calibration)
        try:
            return form.family().convert(name, form.path, original)
        # Converters raise whatever a model leads them to.
        except Exception as error:
            line = next(iter(str(error).splitlines()), "")
            return MissingRecord(format=name, reason=line if isinstance(error, DataError) else f"{type(error).__name__}: {line}")


@dataclass(frozen=True)
class SentExport:
    """The original and its conversions on their way to the workers; `key` tells one export from another."""

    key: str
    model: SentModel
    files: Broadcast[dict[FormatName, Files]]

    def opened(self, cores: int) -> Mapping[str, Answers]:
        """All models, in a worker; a second task of the same worker finds them opened."""
        if self.key not in _opened:
            from slotwise.conversion.original import Original

            shape = self.model.image_shape
            original = Original(self.model.content.value, shape, len(self.model.classes), np.empty((0, *shape), np.uint8))
            _opened.clear()
            converted: dict[str, Answers] = {name: FORMATS[name].family().load(FORMATS[name].path, files, cores) for name, files in self.files.value.items()}
            _opened[self.key] = {ORIGINAL: original.answers(), **converted}
        return _opened[self.key]


@dataclass(frozen=True)
class ScoreTask:
    """Puts a logical shard of the test split to every model."""

    export: SentExport
    images: Images
    batch_size: int

    def __call__(self, shard: int) -> Agreement:
        cores = load_tensorflow()
        models = self.export.opened(cores)
        found = NOTHING
        for pixels, labels in self.images.shard("test", shard, self.batch_size, cores):
            found += agreement({name: answers(pixels) for name, answers in models.items()}, labels)
        return found


@dataclass(frozen=True)
class TimeTask:
    """Times every model on the first test images; meant to be the only task."""

    export: SentExport
    images: Images
    rounds: int

    def __call__(self, _: int) -> tuple[int, dict[str, list[TimeRecord]]]:
        cores = load_tensorflow()
        models = self.export.opened(cores)
        largest = max(TIMED_BATCHES)
        found = self.images.first("test", largest, cores)
        pixels = np.resize(found, (largest, *found.shape[1:]))  # over and over, where there are few
        times: dict[str, list[TimeRecord]] = {name: [] for name in models}
        for batch in TIMED_BATCHES:
            seconds = in_turn({name: partial(answers, pixels[:batch]) for name, answers in models.items()}, self.rounds)
            for name, values in seconds.items():
                low, median, high = quartiles([value / batch for value in values])
                times[name].append(TimeRecord(batch=batch, median=median, low=low, high=high))
        return cores, times
