"""The training of one slot from its shards to the tested model: the story of a run, top to bottom."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from slotwise import storage
from slotwise.contracts import dataset as datasets
from slotwise.contracts.job import TrainingJob, TrainingResult
from slotwise.contracts.paths import RunPaths
from slotwise.contracts.run import EpochRecord, Position
from slotwise.engines import arithmetic
from slotwise.engines.agreement import check_equal_start, check_equal_weights
from slotwise.engines.engine import Engine, Evaluation
from slotwise.engines.state import TrainingState
from slotwise.errors import Interrupted, TrainingFailed
from slotwise.feed import records as feed_records
from slotwise.feed.order import slot_shards, training_plan, validation_partners
from slotwise.feed.pipeline import Batch, evaluation_batches, no_sample, training_batches
from slotwise.feed.shards import local_shards
from slotwise.laps import Laps
from slotwise.training import audit
from slotwise.training.checkpoints import Arrays, Checkpoints, Progress
from slotwise.training.clock import EpochClock
from slotwise.training.progress import ProgressLines
from slotwise.training.recorder import Recorder
from slotwise.training.resume import check_resumable, fixed_settings
from slotwise.training.schedule import learning_rate
from slotwise.training.stop import StopWatch
from slotwise.versions import installed_versions

_MEBIBYTE = 1 << 20


def train(job: TrainingJob, engine: Engine, laps: Laps) -> TrainingResult:
    """Trains this slot's part of a job, in step with the other slots.

    Args:
        laps: what the process has done so far.

    Raises:
        Interrupted: it was asked to stop; a checkpoint holds all that was done.
        TrainingFailed: the loss is no number, slots disagree, or a checkpoint cannot be written.
    """
    return _Training(job, engine, laps).run()


class _Training:
    def __init__(self, job: TrainingJob, engine: Engine, laps: Laps) -> None:
        self.job, self.engine, self.settings, self.laps = job, engine, job.settings, laps
        self.slots = slots = engine.slots
        self.record = datasets.load(job.dataset)
        datasets.check_trainable(job.dataset, self.record)
        self.shards = slot_shards(slots.rank, slots.count, self.record.logical_shards)
        self.image_shape = (*self.record.image_size, self.record.channels)
        self.plan = training_plan(self.record, self.settings)
        self.evaluated = {split: self._fetch(split, self.shards) for split in self.record.splits if split not in self.settings.train_on.split("+")}
        self.samples = self._load()
        laps.lap("shards")
        self.state = TrainingState(job, self.record, engine)
        self.step = engine.make_step(
            self.state.model, self.state.context, self.state.optimizer, slots,
            class_weights=self.record.class_weights, label_smoothing=self.settings.label_smoothing, epoch_shape=(self.plan.steps, self.plan.batch_size),
        )  # fmt: skip
        self.evaluator = engine.make_evaluator(self.state.model, slots)
        self.lines = ProgressLines(self.settings.epochs, self.plan.steps, enabled=slots.is_chief)
        self.recorder = Recorder(job, self.record) if slots.is_chief else None
        self.stop = StopWatch(job.run) if slots.is_chief else None
        self.best: Arrays = []
        self.all_reduce_seconds: float | None = None

    def _fetch(self, split: str, shards: Sequence[int]) -> list[str]:
        return local_shards(self.job.dataset, self.record, split, shards, self.settings.local_cache)

    def _load(self) -> feed_records.Records:
        """The images that this slot trains on."""
        parts = [self._fetch("train", self.shards)]
        if self.settings.train_on == "train+validation":
            partners = validation_partners(self.record)
            parts.append(self._fetch("validation", [partners[shard] for shard in self.shards]))
        paths = [path for shard in zip(*parts, strict=True) for path in shard]
        return feed_records.load(
            paths, self.image_shape, self.settings.feed_memory * _MEBIBYTE,
            files_per_shard=len(parts), counts=[self.plan.counts[shard] for shard in self.shards], threads=self.settings.cores_per_slot,
        )  # fmt: skip

    def run(self) -> TrainingResult:
        self._write_ids()
        self._judge_precision()
        progress = self._start()
        self.laps.lap("model")
        batches = self._batches_from(progress)
        while not progress.is_over(self.settings.epochs, self.settings.patience):
            progress = self._epoch(progress, batches)
        if len(progress.history) < self.settings.epochs and self.slots.is_chief:
            print(f"no lower validation loss since epoch {progress.best_epoch}: the training ends early (--patience {self.settings.patience})", flush=True)
        self.state.model.set_weights(self.best)
        test = self._evaluate("test")
        assert test is not None
        if self.recorder:
            self.recorder.wait()
            self.recorder.board.write()
            self._save_model()
        return TrainingResult(
            epochs=progress.history,
            best_epoch=progress.best_epoch,
            test_loss=test.loss,
            test_accuracy=test.accuracy,
            test_images=test.images,
            parameters=self.state.parameters,
            inference_seconds=self.engine.inference_seconds(self.state.model, self.image_shape) if self.slots.is_chief else None,
            resumed_from=progress.resumed_from,
            versions=installed_versions(),
            began=self.laps.began,
            starting=self.laps.seconds,
        )

    def _judge_precision(self) -> None:
        """Says so where 16-bit arithmetic is no gain."""
        dtype = self.settings.precision.removeprefix("mixed_")
        if self.slots.is_chief and dtype != self.settings.precision and (advice := arithmetic.advice(dtype, arithmetic.speed(dtype))):
            print(advice, flush=True)

    def _write_ids(self) -> None:
        """The ids of this slot's samples, for the audit."""
        for shard, first, count in zip(self.shards, self.samples.starts, (self.plan.counts[shard] for shard in self.shards), strict=True):
            audit.write_ids(self.job.run, shard, self.samples.ids[first : first + count])

    def _start(self) -> Progress:
        """Where to begin: nothing done, or the last checkpoint of a run that is resumed."""
        progress = Progress(history=[], settings=fixed_settings(self.job), dataset_fingerprint=self.record.fingerprint)
        checkpoints = Checkpoints(RunPaths(self.job.run).checkpoints)
        checkpoint = checkpoints.latest() if self.job.resume else None
        self.step.begin_epoch()
        if checkpoint:
            check_resumable(checkpoint.progress, self.job, self.record.fingerprint)
            self.state.restore(checkpoint)
            self.best = checkpoints.best_weights(checkpoint.progress.best_epoch) or []
            progress = checkpoint.progress
            if progress.step:
                self.step.begin_epoch(progress.sums, checkpoint.fed)
            progress = progress.model_copy(update={"resumed_from": [*progress.resumed_from, progress.position]})
        if self.recorder:
            self.recorder.board.begin(progress.history)
        check_equal_start(progress.position, self.slots)
        if self.job.resume and self.slots.is_chief:
            print(f"going on after {progress.position}" if checkpoint else "no checkpoint can be read: the training starts from its first epoch", flush=True)
        return progress

    def _batches_from(self, progress: Progress) -> Iterator[tuple[Any, ...]]:
        return iter(
            training_batches(
                self.samples, self.plan, self.shards, self.image_shape, augmentation=self.settings.augment, seed=self.settings.seed,
                threads=self.settings.cores_per_slot, first_epoch=len(progress.history), first_step=progress.step,
            )
        )  # fmt: skip

    def _epoch(self, progress: Progress, batches: Iterator[tuple[Any, ...]]) -> Progress:
        """An epoch, or what is left of it, with validation and checkpoint; returns the progress after it."""
        epoch = len(progress.history) + 1
        progress = self._train_epoch(progress, batches)
        totals = self.step.totals()
        if not np.isfinite(totals.loss):
            raise TrainingFailed(f"The loss is {totals.loss} in epoch {epoch}. A smaller --learning-rate, now {self.settings.learning_rate}, may help")
        check_equal_weights(self.state.model, self.slots, epoch)
        began = time.monotonic()
        validation = self._evaluate("validation")
        validation_seconds = time.monotonic() - began
        if validation and not np.isfinite(validation.loss):
            raise TrainingFailed(f"The validation loss is {validation.loss} after epoch {epoch}. A smaller --learning-rate, now {self.settings.learning_rate}, may help")
        if self.all_reduce_seconds is None:
            self.all_reduce_seconds = self.engine.all_reduce_seconds(self.state.model, self.slots)
        record = EpochRecord(
            epoch=epoch,
            steps=self.plan.steps,
            images=int(totals.images),
            loss=totals.loss / totals.images,
            accuracy=totals.correct / totals.images,
            validation_loss=validation.loss if validation else None,
            validation_accuracy=validation.accuracy if validation else None,
            learning_rate=learning_rate(self.settings, epoch - 1, self.plan.steps - 1, self.plan.steps),
            seconds=progress.seconds,
            validation_seconds=validation_seconds,
            checkpoint_seconds=progress.checkpoint_seconds,
            images_per_second=totals.images / progress.seconds,
            waiting_for_data_share=min(progress.waiting_seconds / progress.seconds, 1.0),
            all_reduce_share=min(self.all_reduce_seconds * self.plan.steps / progress.seconds, 1.0),
            gradient_norm=totals.gradient_norm,
            ended=time.time(),
        )
        if self.recorder:
            self.recorder.board.add_epoch(record, validation.confusion if validation else None)
        progress = self._close_epoch(progress, record)
        self.lines.epoch_ends(record)
        return progress

    def _train_epoch(self, progress: Progress, batches: Iterator[tuple[Any, ...]]) -> Progress:
        """Every training sample once; returns the progress with the time it took.

        Raises:
            Interrupted: a slot was asked to stop.
        """
        epoch, first_step = len(progress.history), progress.step
        nothing = no_sample(self.image_shape, self.settings.augment)
        clock = EpochClock()
        self.lines.epoch_begins(first_step, progress.sums[2])
        for step in range(first_step, self.plan.steps):
            with clock.waiting():
                # In the last step a slot may have no sample left; it still takes part in every sum.
                batch = Batch(*next(batches)) if self.plan.step_images(step, self.shards) else nothing
            if self.recorder and epoch == step == 0:
                self.recorder.board.add_samples(np.array(batch.images))
            self.state.set_learning_rate(learning_rate(self.settings, epoch, step, self.plan.steps))
            is_stopped = self.step(step, batch, self.plan.step_images(step), stop=self.stop is not None and self.stop.is_asked)
            if "first step" not in self.laps.seconds:
                self.laps.lap("first step")
            is_due = self.recorder is not None and self.recorder.is_due() and step + 1 < self.plan.steps
            if self.recorder and (is_due or is_stopped):
                with clock.keeping():
                    self._keep_within_epoch(clock.added_to(progress), step + 1, surely=is_stopped)
            if is_stopped:
                self._stop(epoch, step + 1)
            if self.lines.is_due():
                totals = self.step.totals()
                self.lines.step(epoch + 1, step + 1, totals.images, totals.loss / totals.images, totals.correct / totals.images)
        return clock.added_to(progress)

    def _keep_within_epoch(self, progress: Progress, steps: int, *, surely: bool) -> None:
        assert self.recorder
        totals = self.step.totals()
        progress = progress.model_copy(update={"step": steps, "sums": (totals.loss, totals.correct, totals.images)})
        checkpoint = self.state.checkpoint(progress, self.step.fed(steps))
        if surely:
            self.recorder.keep_surely(checkpoint)
        else:
            self.recorder.keep(checkpoint)

    def _stop(self, epochs: int, steps: int) -> None:
        """Ends the training on every slot at the same step."""
        if self.recorder:
            self.recorder.wait()
        raise Interrupted(f"stopped as asked; a checkpoint holds everything up to {Position(epoch=epochs, step=steps)}")

    def _evaluate(self, split: str) -> Evaluation | None:
        if split not in self.evaluated:
            return None
        batches = evaluation_batches(self.evaluated[split], self.image_shape, batch_size=self.settings.batch_size, threads=self.settings.cores_per_slot)
        return self.evaluator(batches)

    def _close_epoch(self, progress: Progress, record: EpochRecord) -> Progress:
        """Remembers the best weights on every slot, and has the chief keep audit and checkpoint; ready for the next epoch."""
        loss = record.validation_loss if record.validation_loss is not None else -float(record.epoch)  # without validation the last is kept
        best: dict[str, float] = {}
        if loss < progress.best_loss:
            best = {"best_epoch": record.epoch, "best_loss": loss}
            self.best = self.state.weights()
        fresh = {name: Progress.model_fields[name].default for name in ("step", "sums", "seconds", "waiting_seconds", "checkpoint_seconds")}
        began = time.monotonic()
        progress = progress.model_copy(update={"history": [*progress.history, record], **fresh, **best})
        if self.recorder:
            self.recorder.keep_surely(self.state.checkpoint(progress, self.step.fed(self.plan.steps)))
        self.step.begin_epoch()
        return progress.model_copy(update={"checkpoint_seconds": time.monotonic() - began})

    def _save_model(self) -> None:
        """`RUN/model.keras`: the plain model with the best weights."""
        self.state.plain.set_weights(self.state.model.get_weights())
        with tempfile.TemporaryDirectory() as scratch:
            local = os.path.join(scratch, "model.keras")
            self.state.plain.save(local)
            storage.upload(local, RunPaths(self.job.run).model)
