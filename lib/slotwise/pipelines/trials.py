"""The trials of a search: as many threads as slots, each asks what to try, has it trained on one slot, and says what came of it."""

from __future__ import annotations

import threading
import time

from pyspark import InheritableThread
from pyspark.sql import SparkSession

from slotwise import storage
from slotwise.cluster import preflight
from slotwise.cluster.console import failed_tasks_unsaid
from slotwise.cluster.interruption import Interruption
from slotwise.config import from_arguments
from slotwise.contracts.paths import RunPaths, SearchPaths
from slotwise.contracts.run import RunRecord
from slotwise.contracts.search import SearchState, TrialRecord
from slotwise.errors import Interrupted, TrainingFailed, UsageError
from slotwise.laps import Laps
from slotwise.pipelines import train
from slotwise.report import wording
from slotwise.settings.train import TrainSettings
from slotwise.settings.training import TrainingSettings
from slotwise.settings.tune import TuneSettings
from slotwise.tuning.oracle import Oracle
from slotwise.tuning.space import applied


def trial_settings(settings: TuneSettings, trial: TrialRecord) -> TrainSettings:
    """What a trial trains, with what its run has already if it has begun.

    Raises:
        UsageError: its values do not go together.
    """
    shared = {name: getattr(settings, name) for name in TrainingSettings.model_fields}
    has_begun = bool(storage.children(RunPaths(trial.run).checkpoints))
    own = {"epochs": trial.epochs, "dataset": settings.dataset, "run": trial.run, "engine": settings.engine, "slots": 1}
    return from_arguments(TrainSettings, {**applied(shared, trial.values), **own, "resume": has_begun, "overwrite": not has_begun})


class Trials:
    """Carries a search on from where its state is.

    Args:
        spark: the session, whose executors have been looked at.
        settings: with model and dataset filled in.
        state: that of the search; of one that is new it has no trials.
        oracle: it knows what is in the state.
    """

    def __init__(self, spark: SparkSession, settings: TuneSettings, state: SearchState, oracle: Oracle) -> None:
        self.state = state
        self._spark, self._settings, self._oracle = spark, settings, oracle
        self._left = [trial for trial in state.trials if trial.status == "running"]
        self._turn = threading.Condition()
        self._error: BaseException | None = None
        self._interruption = Interruption(spark)

    def run(self, slots: int) -> SearchState:
        """Does what is left and what the oracle chooses, `slots` trials at a time; returns the state then.

        Raises:
            Interrupted: a signal ended it; trials that were at work have left checkpoints.
            SlotsLost: the cluster has no slot any more.
            DataError: the storage cannot be used.
        """
        # Said once for all threads: each would put back what it found, which may be what another has set.
        with failed_tasks_unsaid(self._spark), self._interruption:
            threads = [InheritableThread(self._work, name=f"trials {number}", daemon=True) for number in range(slots)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if isinstance(self._error, Interrupted) or self._interruption.is_asked:
                ended = sum(trial.status != "running" for trial in self.state.trials)
                raise Interrupted(f"The search was stopped as asked; {wording.count(ended, 'trial')} ended before. Go on with --resume --output {self._settings.output}") from self._error
            if self._error:
                raise self._error
        return self.state

    def _work(self) -> None:
        try:
            while (trial := self._next()) is not None:
                self._end(self._carried_out(trial))
        except BaseException as error:
            with self._turn:
                self._error = self._error or error
                self._turn.notify_all()

    def _next(self) -> TrialRecord | None:
        """A trial to do, once there is one; None when there will be none."""
        with self._turn:
            while not (self._error or self._interruption.is_asked):
                if self._left:
                    return self._left.pop(0)
                if trial := self._chosen():
                    return trial
                if self._oracle.is_over:
                    return None
                self._turn.wait()
        return None

    def _chosen(self) -> TrialRecord | None:
        choice = self._oracle.choose()
        if choice is None:
            return None
        number = len(self.state.trials) + 1
        parent = self.state.trial(choice.parent) if choice.parent and self._can_be_gone_on_with(choice.parent) else None
        run = parent.run if parent else SearchPaths(self._settings.output).trial(number)
        trial = TrialRecord(number=number, values=choice.values, epochs=choice.epochs or self._settings.epochs, parent=choice.parent, run=run)
        self._keep([*self.state.trials, trial], number)
        print(f"{_name(trial)}: {_values(trial)}, up to {wording.count(trial.epochs, 'epoch')}" + (f", on from trial {parent.number}" if parent else ""), flush=True)
        return trial

    def _can_be_gone_on_with(self, parent: int) -> bool:
        """Half a cosine ends with the last epoch, so more epochs are another training from the start."""
        return trial_settings(self._settings, self.state.trial(parent)).schedule != "cosine"

    def _carried_out(self, trial: TrialRecord) -> TrialRecord:
        began = time.monotonic()
        try:
            job = train.check(trial_settings(self._settings, trial)).model_copy(update={"name": _name(trial)})
            record = train.carry_out(self._spark, job, Laps(), self._interruption)
        except (TrainingFailed, UsageError) as error:
            # With no slot left it is not this trial's fault, and all others would fail as well.
            if isinstance(error, TrainingFailed) and not preflight.available_slots(self._spark, 1):
                raise
            return trial.model_copy(update={"status": "failed", "reason": str(error), "seconds": time.monotonic() - began})
        return _finished(trial, record, time.monotonic() - began)

    def _end(self, trial: TrialRecord) -> None:
        with self._turn:
            self._oracle.end(trial.number, trial.validation_loss)
            self._keep([trial if each.number == trial.number else each for each in self.state.trials], trial.number)
            print(f"{_name(trial)}: {_outcome(trial)}; {self._standing()}", flush=True)
            self._turn.notify_all()

    def _keep(self, trials: list[TrialRecord], changed: int) -> None:
        self.state = self.state.model_copy(update={"trials": trials, "order": [*self.state.order, changed]})
        storage.write_text(SearchPaths(self._settings.output).state, self.state.model_dump_json(indent=2) + "\n")

    def _standing(self) -> str:
        ended = sum(trial.status != "running" for trial in self.state.trials)
        best = self.state.best
        return f"{wording.count(ended, 'trial')} ended" + (f", best so far: trial {best.number} with {wording.number(best.validation_loss, 4)}" if best else "")


def _finished(trial: TrialRecord, record: RunRecord, seconds: float) -> TrialRecord:
    best = record.epochs[record.best_epoch - 1]
    return trial.model_copy(
        update={
            "status": "finished",
            "validation_loss": best.validation_loss,
            "validation_accuracy": best.validation_accuracy,
            "best_epoch": record.best_epoch,
            "epoch_validation_loss": [epoch.validation_loss for epoch in record.epochs],
            "seconds": seconds,
            "restarts": len(record.restarts),
        }
    )


def _name(trial: TrialRecord) -> str:
    return f"trial {trial.number}"


def _values(trial: TrialRecord) -> str:
    return ", ".join(f"{name.removeprefix('model_parameters.')}={value}" for name, value in trial.values.items())


def _outcome(trial: TrialRecord) -> str:
    if trial.status == "failed":
        return f"failed: {trial.reason.splitlines()[0]}"  # the rest is in search.json
    return f"validation loss {wording.number(trial.validation_loss, 4)}, accuracy {wording.percent(trial.validation_accuracy)} after epoch {trial.best_epoch}, {wording.duration(trial.seconds)}"
