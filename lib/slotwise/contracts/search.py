"""`OUTPUT/search.json` and `OUTPUT/tune.json`: the space of a search, its trials in the order they were chosen, and the best of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from slotwise import storage
from slotwise.errors import DataError

VERSION = 1

Value = bool | int | float | str
Sampling = Literal["linear", "log", "reverse_log"]
Status = Literal["running", "finished", "failed"]


class Axis(BaseModel):
    """One setting that is searched: its values, or a range with both ends in it."""

    model_config = ConfigDict(frozen=True)

    name: str
    """A setting of training, or `model_parameters.` and a parameter of the model."""
    values: list[Value] = []
    min: int | float | None = None
    max: int | float | None = None
    step: int | float | None = None
    """What is added from value to value, or with `log` multiplied; None: any value between the ends."""
    sampling: Sampling = "linear"

    def __str__(self) -> str:
        if self.values:
            return ", ".join(map(str, self.values))
        step = "" if self.step is None else f", step {self.step}"
        return f"{self.min} to {self.max}{step}{'' if self.sampling == 'linear' else f', {self.sampling}'}"


class TrialRecord(BaseModel):
    """One choice and what came of it; figures are None, and 0, until the trial has finished."""

    model_config = ConfigDict(frozen=True)

    number: int
    """From 1, in the order of choice."""
    values: dict[str, Value]
    """By the name of the axis."""
    epochs: int
    """The most that it may train."""
    parent: int | None = None
    """The trial of the same values whose training it goes on with (Hyperband)."""
    run: str
    status: Status = "running"
    reason: str = ""
    """Why it failed."""
    validation_loss: float | None = None
    """The lowest of all epochs; what the search minimises."""
    validation_accuracy: float | None = None
    """After that epoch."""
    best_epoch: int = 0
    epoch_validation_loss: list[float | None] = []
    seconds: float = 0.0
    """From its launch to its end; of a trial that was gone on with, since that."""
    restarts: int = 0


class SearchState(BaseModel):
    """`search.json`: all that a search needs to go on; written after each change."""

    model_config = ConfigDict(frozen=True)

    version: int
    dataset: str
    dataset_fingerprint: str
    oracle: str
    space: list[Axis]
    settings: dict[str, Any]
    """Those that all trials share and that a search which is gone on with cannot change."""
    trials: list[TrialRecord]
    order: list[int]
    """Each trial's number when it was chosen, and again when it ended: what the oracle knew at each choice."""

    def trial(self, number: int) -> TrialRecord:
        return self.trials[number - 1]

    @property
    def best(self) -> TrialRecord | None:
        """The finished trial with the lowest validation loss; of equal ones the first."""
        finished = [trial for trial in self.trials if trial.validation_loss is not None]
        return min(finished, key=lambda trial: trial.validation_loss or 0.0, default=None)


class SearchRecord(SearchState):
    """`tune.json`: a search that is over."""

    created: str
    command: str
    """What made it, as typed."""
    slots: int
    """Trials at the same time, when it ended."""
    seconds: float
    """From its start to its end, or since it was gone on with."""
    commands: list[str]
    """What to type next: the final training, and its evaluation."""


def load(uri: str) -> SearchState:
    """The state of a search, from its `search.json`.

    Raises:
        DataError: there is none, or it is damaged or of another version.
    """
    try:
        content = storage.read_json(uri)
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise DataError(f"{uri} is not of the version that this slotwise reads, {VERSION}")
        return SearchState.model_validate(content)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise DataError(f"{uri} is damaged at '{where}': {error.errors()[0]['msg']}") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{uri} is not JSON ({error})") from error
