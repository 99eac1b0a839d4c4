"""KerasTuner's oracles behind a narrow door: they choose, nothing else of KerasTuner is used.

KerasTuner loads Keras and so TensorFlow (Keras's NumPy backend needs JAX), in the driver of a search alone and only when an oracle is made. An
oracle is brought back to where it was by telling it again what it chose and heard: its own saved state leaves out what the grid has to do next.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slotwise.contracts.search import Axis, SearchState, TrialRecord, Value
from slotwise.errors import DataError
from slotwise.settings.tune import Kind

_OBJECTIVE = "validation_loss"
_TRIALS = 10  # as KerasTuner has it, where a space does not end by itself


@dataclass(frozen=True)
class Choice:
    """What to try next, as in a `TrialRecord`; `epochs` is None where the oracle leaves that open."""

    values: dict[str, Value]
    epochs: int | None
    parent: int | None


class Oracle:
    """One of KerasTuner's oracles that looks for the lowest validation loss; not to be called from several threads at a time.

    Args:
        kind: which.
        space: what it chooses from.
        epochs: the most that Hyperband gives a trial.
        max_trials: how many it may choose; None as `--max-trials` says.
        seed: of what it draws.
    """

    def __init__(self, kind: Kind, space: Sequence[Axis], *, epochs: int, max_trials: int | None, seed: int) -> None:
        self._names = [axis.name for axis in space]
        self._max_trials = max_trials or (_TRIALS if kind in ("random", "bayesian") else None)
        self._oracle = _keras_oracle(kind, space, epochs=epochs, seed=seed)
        self.is_over = False
        """Whether nothing will be chosen any more."""

    def choose(self) -> Choice | None:
        """The next choice; None while the oracle waits for trials to end, or when it is over."""
        chosen = len(self._oracle.trials)
        if self._max_trials is not None and chosen >= self._max_trials:
            self.is_over = True
            return None
        trial = self._oracle.create_trial(f"trial-{chosen + 1}")
        self.is_over = trial.status == "STOPPED"
        if trial.status != "RUNNING":
            return None
        values = trial.hyperparameters.values
        parent = values.get("tuner/trial_id")
        return Choice({name: values[name] for name in self._names}, values.get("tuner/epochs"), None if parent is None else int(parent) + 1)

    def end(self, number: int, validation_loss: float | None) -> None:
        """Says what came of a choice, by its number from 1; None: it failed."""
        trial = self._trial(number)
        trial.status = "FAILED" if validation_loss is None else "COMPLETED"
        if validation_loss is not None:
            self._oracle.update_trial(trial.trial_id, {_OBJECTIVE: validation_loss})
        self._oracle.end_trial(trial)

    def go_through(self, state: SearchState) -> None:
        """Has an oracle that is new choose and hear again all that a search has so far.

        Raises:
            DataError: it chooses otherwise now.
        """
        begun: set[int] = set()
        for number in state.order:
            trial = state.trial(number)
            if number in begun:
                self.end(number, trial.validation_loss)
            else:
                begun.add(number)
                self._choose_again(trial)

    def _choose_again(self, trial: TrialRecord) -> None:
        choice = self.choose()
        if choice is None or choice.epochs not in (None, trial.epochs) or choice.parent != trial.parent:
            raise DataError(f"KerasTuner does not choose trial {trial.number} again as it did, so the search cannot be gone on with: begin it anew with --overwrite")
        # What was drawn from a continuous range may differ in its last digits on another machine.
        self._trial(trial.number).hyperparameters.values.update(trial.values)

    def _trial(self, number: int) -> Any:
        return next(trial for name, trial in self._oracle.trials.items() if int(name) == number - 1)


def _keras_oracle(kind: Kind, space: Sequence[Axis], *, epochs: int, seed: int) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings
    import keras_tuner
    from keras_tuner import oracles

    class Unsaved:
        """Keeps nothing in files: slotwise has its own, on any storage."""

        def save(self) -> None:
            pass

        def _save_trial(self, trial: Any) -> None:
            pass

    class Grid(Unsaved, oracles.GridSearchOracle):
        """Goes on to the next combination at once, where KerasTuner waits until the one before has ended in case it brings new settings."""

        def populate_space(self, trial_id: str) -> Any:
            answer = super().populate_space(trial_id)
            if answer["status"] == "RUNNING":
                self._populate_next.append(trial_id)
            return answer

    class Random(Unsaved, oracles.RandomSearchOracle):
        pass

    class Hyperband(Unsaved, oracles.HyperbandOracle):
        pass

    class Bayesian(Unsaved, oracles.BayesianOptimizationOracle):
        pass

    common = {
        "objective": keras_tuner.Objective(_OBJECTIVE, "min"),
        "hyperparameters": _hyperparameters(keras_tuner.HyperParameters(), space),
        "seed": seed or 1,  # it takes 0 for none
        "max_consecutive_failed_trials": -1,  # however many fail, the search goes on
    }
    makers: dict[Kind, Any] = {"grid": Grid, "random": Random, "hyperband": Hyperband, "bayesian": Bayesian}
    # How many trials is counted here: not every oracle takes a limit.
    limits = {"hyperband": {"max_epochs": epochs}}.get(kind, {"max_trials": None})
    oracle = makers[kind](**common, **limits)
    oracle.verbose = 0
    return oracle


def _hyperparameters(found: Any, space: Sequence[Axis]) -> Any:
    for axis in space:
        if axis.values:
            found.Choice(axis.name, axis.values)
        else:
            is_whole = all(isinstance(number, int) for number in (axis.min, axis.max, axis.step or 1))
            add = found.Int if is_whole else found.Float
            add(axis.name, min_value=axis.min, max_value=axis.max, step=axis.step, sampling=axis.sampling)
    return found
