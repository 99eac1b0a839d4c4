"""Which runs may stand in one table, and the table: pure functions of run records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slotwise.compare import statistics
from slotwise.contracts.comparison import ComparisonRow
from slotwise.contracts.run import RunRecord
from slotwise.errors import UsageError
from slotwise.settings.training import TrainingSettings

SHARED_SETTINGS = (
    "model_parameters", "batch_size", "optimizer", "momentum", "learning_rate", "schedule", "decay_rate", "warmup_epochs", "label_smoothing",
    "precision", "limit", "steps_per_epoch", "train_on", "augment", "cores_per_slot", "use_gpu",
)  # fmt: skip
"""Settings that have to be equal in all runs of a comparison; seed, slots and engine may differ."""


@dataclass(frozen=True)
class Run:
    """A run's record and where it was read."""

    uri: str
    record: RunRecord

    @property
    def seed(self) -> int | None:
        return self.record.settings.get("seed")


def conditions(record: RunRecord) -> dict[str, Any]:
    """What has to be equal for two runs to be compared, by name."""
    settings = {name: record.settings.get(name, TrainingSettings.model_fields[name].default) for name in SHARED_SETTINGS}
    return {"dataset_fingerprint": record.dataset_fingerprint, "model": record.model, "epochs": len(record.epochs), **settings}


def differences(run: RunRecord, reference: RunRecord) -> list[str]:
    """One text per condition in which a run differs from the reference: its name and both values."""
    expected = conditions(reference)
    return [f"{name} {value} instead of {expected[name]}" for name, value in conditions(run).items() if value != expected[name]]


def check_comparable(runs: Sequence[Run]) -> None:
    """Sees that every run was made under the conditions of the first.

    Raises:
        UsageError: there is no run, one is given twice, or one differs; names each such run, the condition and both values.
    """
    accepted = "finished runs that share dataset, model, epochs and " + ", ".join(SHARED_SETTINGS)
    if not runs:
        raise UsageError("There are no runs to compare", received="no run", accepted=accepted)
    uris = [run.uri for run in runs]
    twice = sorted({uri for uri in uris if uris.count(uri) > 1})
    if twice:
        raise UsageError("A run is given more than once, which would count as a repeat", received=", ".join(twice), accepted="each run once")
    found = [(run.uri, differences(run.record, runs[0].record)) for run in runs[1:]]
    wrong = [f"{uri} has {' and '.join(texts)}" for uri, texts in found if texts]
    if wrong:
        raise UsageError(f"Not all runs can be compared with {runs[0].uri}", received="; ".join(wrong), accepted=accepted)


def rows(runs: Sequence[Run]) -> list[ComparisonRow]:
    """One row per (model, engine, slots), sorted so; each measured against the one-slot row of its engine.

    `runs` have passed `check_comparable`.
    """
    groups: dict[tuple[str, str, int], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.record.model, run.record.engine, run.record.slots), []).append(run)
    return [_row(groups[key], groups.get((key[0], key[1], 1))) for key in sorted(groups)]


def _row(repeats: list[Run], single: list[Run] | None) -> ComparisonRow:
    records = [run.record for run in repeats]
    first = records[0]
    accuracies = [record.test_accuracy for record in records]
    losses = [record.test_loss for record in records]
    seconds = [record.train_seconds for record in records]
    rates = [record.images_per_second for record in records]
    return ComparisonRow(
        model=first.model,
        engine=first.engine,
        slots=first.slots,
        repeats=len(records),
        accuracy_mean=statistics.mean(accuracies),
        accuracy_std=statistics.deviation(accuracies),
        validation_accuracy_mean=statistics.finite_mean([_kept_validation_accuracy(record) for record in records]),
        loss_mean=statistics.finite_mean(losses),
        loss_std=statistics.deviation(losses),
        seconds_mean=statistics.mean(seconds),
        seconds_std=statistics.deviation(seconds),
        seconds_per_epoch_mean=statistics.mean([record.train_seconds / len(record.epochs) for record in records]),
        inference_seconds_mean=statistics.finite_mean([record.inference_seconds for record in records]),
        total_seconds_mean=statistics.mean([record.total_seconds for record in records]),
        images_per_second=statistics.mean(rates),
        images_per_second_std=statistics.deviation(rates),
        **_against_one_slot(repeats, single),
    )


def _against_one_slot(repeats: list[Run], single: list[Run] | None) -> dict[str, Any]:
    slots = repeats[0].record.slots
    if single is None:
        speedup = efficiency = difference = None
    else:
        seconds = statistics.mean([run.record.train_seconds for run in repeats])
        speedup = statistics.mean([run.record.train_seconds for run in single]) / seconds if seconds > 0 else None
        efficiency = speedup / slots if speedup is not None else None
        difference = 100 * (_accuracy(repeats) - _accuracy(single))
    pairs = paired_differences(repeats, single) if single is not None and slots != 1 else []
    return {
        "speedup": speedup,
        "efficiency": efficiency,
        "accuracy_difference_points": difference,
        "paired_seeds": len(pairs),
        "accuracy_difference_interval": statistics.interval(pairs),
    }


def paired_differences(repeats: Sequence[Run], single: Sequence[Run]) -> list[float]:
    """For each seed in both lists, ascending, 100 × (accuracy in `repeats` - accuracy in `single`).

    A seed that was trained several times on the same slots enters with its mean, so that it counts once.
    """
    seeds = {run.seed for run in repeats} & {run.seed for run in single}
    return [
        100 * (_accuracy([run for run in repeats if run.seed == seed]) - _accuracy([run for run in single if run.seed == seed]))
        for seed in sorted(seed for seed in seeds if seed is not None)
    ]


def _accuracy(runs: Sequence[Run]) -> float:
    return statistics.mean([run.record.test_accuracy for run in runs])


def _kept_validation_accuracy(record: RunRecord) -> float | None:
    return next((epoch.validation_accuracy for epoch in record.epochs if epoch.epoch == record.best_epoch), None)
