"""The training of one slot from its shards to the tested model: the story of a run, top to bottom."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from slotwise import models, storage
from slotwise.contracts import dataset as datasets
from slotwise.contracts.job import TrainingJob, TrainingResult
from slotwise.contracts.paths import RunPaths
from slotwise.contracts.run import EpochRecord
from slotwise.engines.tensorflow.agreement import check_equal_weights
from slotwise.engines.tensorflow.collective import Slots
from slotwise.engines.tensorflow.communication import all_reduce_seconds
from slotwise.engines.tensorflow.evaluation import Evaluation, Evaluator
from slotwise.engines.tensorflow.layers import NO_SAMPLE, training_copy
from slotwise.engines.tensorflow.step import TrainingStep
from slotwise.errors import TrainingFailed
from slotwise.feed import records as feed_records
from slotwise.feed.order import Plan, slot_shards
from slotwise.feed.pipeline import evaluation_batches, training_batches
from slotwise.feed.shards import local_shards
from slotwise.train.checkpoints import Checkpoint, Checkpoints, Progress
from slotwise.train.progress import ProgressLines
from slotwise.train.resume import check_resumable, fixed_settings
from slotwise.versions import installed_versions

_MEBIBYTE = 1 << 20


def train(job: TrainingJob, slots: Slots) -> TrainingResult:
    """Trains this slot's part of a job, in step with the other slots."""
    return _Training(job, slots).run()


class _Training:
    def __init__(self, job: TrainingJob, slots: Slots) -> None:
        self.job, self.slots, self.settings = job, slots, job.settings
        self.record = datasets.load(job.dataset)
        datasets.check_trainable(job.dataset, self.record)
        self.shards = slot_shards(slots.rank, slots.count, self.record.logical_shards)
        self.image_shape = (*self.record.image_size, self.record.channels)
        counts = tuple(shard.samples for shard in self.record.splits["train"].shards)
        self.plan = Plan(counts, self.settings.batch_size, self.settings.seed, self.settings.steps_per_epoch)
        self.paths = {split: self._fetch(split) for split in self.record.splits}
        self.samples = feed_records.load(self.paths["train"], self.settings.feed_memory * _MEBIBYTE)
        self._build()
        self.checkpoints = Checkpoints(RunPaths(job.run).checkpoints)
        self.lines = ProgressLines(self.settings.epochs, self.plan.steps, enabled=slots.is_chief)
        self.all_reduce_seconds: float | None = None

    def _fetch(self, split: str) -> list[str]:
        cache = self.settings.local_cache or os.path.join(tempfile.gettempdir(), f"slotwise-shards-{os.getuid()}")
        return local_shards(self.job.dataset, self.record, split, self.shards, cache)

    def _build(self) -> None:
        """The plain model, its training copy, and what steps and evaluates it; equal weights on all slots, from the seed."""
        keras.utils.set_random_seed(self.settings.seed)
        self.plain = models.build(self.job.model, self.image_shape, len(self.record.classes))
        self.model, context = training_copy(self.plain, self.slots)
        self.optimizer = keras.optimizers.Adam(self.settings.learning_rate)
        if self.settings.precision == "mixed_float16":
            self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer)
        self.optimizer.build(self.model.trainable_variables)
        self.step = TrainingStep(self.model, context, self.optimizer, self.slots, self.record.class_weights)
        self.evaluator = Evaluator(self.model, self.slots)

    def run(self) -> TrainingResult:
        progress = self._start()
        for epoch in range(len(progress.history), self.settings.epochs):
            progress = self._epoch(epoch, progress)
        if self.record.splits["validation"].samples:
            self.model.set_weights(self.checkpoints.best_weights(progress.best_epoch) if not self.best else self.best)
        test = self._evaluate("test")
        assert test is not None
        if self.slots.is_chief:
            self._save_model()
        return TrainingResult(
            epochs=progress.history,
            best_epoch=progress.best_epoch,
            test_loss=test.loss,
            test_accuracy=test.accuracy,
            test_images=test.images,
            parameters=int(sum(np.prod(variable.shape) for variable in self.model.trainable_variables)),
            resumed_from_epochs=progress.resumed_from_epochs,
            versions=installed_versions(),
        )

    def _start(self) -> Progress:
        """Where to begin: nothing done, or the last checkpoint of a run that is resumed."""
        settings = fixed_settings(self.job)
        fresh = Progress(history=[], best_epoch=0, best_loss=float("inf"), settings=settings, dataset_fingerprint=self.record.fingerprint, resumed_from_epochs=[])
        self.best: list[np.ndarray] = []
        checkpoint = self.checkpoints.latest() if self.job.resume else None
        if checkpoint is None:
            if self.job.resume and self.slots.is_chief:
                print("no checkpoint can be read: the training starts from its first epoch", flush=True)
            return fresh
        progress = checkpoint.progress
        check_resumable(progress, self.job, self.record.fingerprint)
        self.model.set_weights(checkpoint.weights)
        for variable, value in zip(self.optimizer.variables, checkpoint.optimizer, strict=True):
            variable.assign(value)
        # A checkpoint holds the rate too, but another one may be asked for now.
        self.optimizer.learning_rate = self.settings.learning_rate
        self.best = self.checkpoints.best_weights(progress.best_epoch) or []
        if self.slots.is_chief:
            print(f"going on after epoch {checkpoint.epoch}", flush=True)
        return progress.model_copy(update={"resumed_from_epochs": [*progress.resumed_from_epochs, checkpoint.epoch]})

    def _epoch(self, epoch: int, progress: Progress) -> Progress:
        """One epoch with validation and checkpoint; returns the progress after it."""
        began = time.monotonic()
        waiting = self._train_epoch(epoch)
        totals = self.step.totals()  # waits for the device, so before the clock is read
        seconds = time.monotonic() - began
        if not np.isfinite(totals.loss):
            raise TrainingFailed(f"The loss is {totals.loss} in epoch {epoch + 1}. A smaller --learning-rate, now {self.settings.learning_rate}, may help")
        check_equal_weights(self.model, self.slots, epoch + 1)
        began = time.monotonic()
        validation = self._evaluate("validation")
        validation_seconds = time.monotonic() - began
        if validation and not np.isfinite(validation.loss):
            raise TrainingFailed(f"The validation loss is {validation.loss} after epoch {epoch + 1}. A smaller --learning-rate, now {self.settings.learning_rate}, may help")
        if self.all_reduce_seconds is None:
            self.all_reduce_seconds = all_reduce_seconds(self.model, self.slots)
        record = EpochRecord(
            epoch=epoch + 1,
            steps=self.plan.steps,
            images=int(totals.images),
            loss=totals.loss / totals.images,
            accuracy=totals.correct / totals.images,
            validation_loss=validation.loss if validation else None,
            validation_accuracy=validation.accuracy if validation else None,
            learning_rate=self.settings.learning_rate,
            seconds=seconds,
            validation_seconds=validation_seconds,
            checkpoint_seconds=0.0,
            images_per_second=totals.images / seconds,
            waiting_for_data_share=min(waiting / seconds, 1.0),
            all_reduce_share=min(self.all_reduce_seconds * self.plan.steps / seconds, 1.0),
        )
        progress, record = self._keep(progress, record)
        self.lines.epoch_ends(record)
        return progress

    def _train_epoch(self, epoch: int) -> float:
        """Every training sample once; returns the seconds spent waiting for data."""
        self.step.reset_totals()
        self.lines.epoch_begins()
        order = self.plan.epoch_order(epoch, self.shards)
        batches = training_batches(
            self.samples, order, self.shards, self.image_shape,
            augmentation=self.settings.augment, seed=self.settings.seed, epoch=epoch, threads=self.settings.cores_per_slot,
        )  # fmt: skip
        source: Iterator[tuple[tf.Tensor, ...]] = iter(batches)
        waiting = 0.0
        for step, size in enumerate(order.sizes):
            began = time.monotonic()
            # In the last step a slot may have no sample left; it still takes part in every sum.
            images, labels, keys = next(source) if size else self._no_sample()
            waiting += time.monotonic() - began
            self.step(images, labels, keys, tf.constant(self.plan.step_images(step), tf.float32))
            if self.lines.is_due():
                totals = self.step.totals()
                self.lines.step(epoch + 1, step + 1, totals.images, totals.loss / totals.images, totals.correct / totals.images)
        return waiting

    def _no_sample(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """A stand-in that counts for nothing."""
        dtype = tf.float32 if self.settings.augment else tf.uint8
        return tf.zeros((1, *self.image_shape), dtype), tf.zeros([1], tf.int64), tf.constant([NO_SAMPLE], tf.int64)

    def _evaluate(self, split: str) -> Evaluation | None:
        batches = evaluation_batches(self.paths[split], self.image_shape, batch_size=self.settings.batch_size, threads=self.settings.cores_per_slot)
        return self.evaluator(batches)

    def _keep(self, progress: Progress, record: EpochRecord) -> tuple[Progress, EpochRecord]:
        """Remembers the best weights on every slot, and checkpoints on the chief."""
        loss = record.validation_loss if record.validation_loss is not None else -float(record.epoch)  # without validation the last is kept
        if loss < progress.best_loss:
            progress = progress.model_copy(update={"best_epoch": record.epoch, "best_loss": loss})
            self.best = self.model.get_weights()
        began = time.monotonic()
        if self.slots.is_chief:
            state = [variable.numpy() for variable in self.optimizer.variables]
            kept = progress.model_copy(update={"history": [*progress.history, record]})
            self.checkpoints.save(Checkpoint(kept, self.model.get_weights(), state))
        record = record.model_copy(update={"checkpoint_seconds": time.monotonic() - began})
        return progress.model_copy(update={"history": [*progress.history, record]}), record

    def _save_model(self) -> None:
        """`RUN/model.keras`: the plain model with the best weights."""
        self.plain.set_weights(self.model.get_weights())
        with tempfile.TemporaryDirectory() as scratch:
            local = os.path.join(scratch, "model.keras")
            self.plain.save(local)
            storage.upload(local, RunPaths(self.job.run).model)
