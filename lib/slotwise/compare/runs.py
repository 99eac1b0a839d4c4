"""Finding finished runs, and choosing those to compare when none are named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from slotwise import storage
from slotwise.compare.table import Run, conditions, differences
from slotwise.contracts import run as run_contract
from slotwise.contracts.paths import RunPaths
from slotwise.errors import DataError, UsageError

DEFAULT_RUNS = "workspace/runs"


@dataclass(frozen=True)
class Choice:
    """The runs chosen, in the order of their URIs, and for each other one its URI and why it was left out."""

    runs: list[str]
    left_out: list[tuple[str, str]]


def find_runs(directory: str = DEFAULT_RUNS) -> list[str]:
    """URIs of the finished runs directly under a directory, sorted.

    Raises:
        UsageError: there is none.
    """
    root = storage.normalise(directory)
    candidates = [storage.join(root, name) for name in storage.finished(root)]
    found = [uri for uri in candidates if storage.exists(RunPaths(uri).record)]
    if not found:
        raise UsageError(
            "No runs were named and none are finished",
            received=f"no run.json in any directory under {directory}",
            accepted="--runs URI …, or run spark-submit jobs/train_distributed.py --slots 1 and then --slots 2 first",
        )
    return found


def read_runs(uris: Sequence[str]) -> list[Run]:
    """The runs with their records.

    Raises:
        DataError: one is not a finished run, or its record is damaged or of another version.
    """
    return [Run(uri, run_contract.load(uri)) for uri in map(storage.normalise, uris)]


def choose_runs(uris: Sequence[str]) -> Choice:
    """The largest group of runs that can be compared with each other.

    A group with more than one row (another slot count or engine) goes before one that compares nothing; of equally
    large ones the one with the latest run is taken.

    Raises:
        UsageError: no run can be read.
    """
    groups: dict[str, list[Run]] = {}
    unreadable: list[tuple[str, str]] = []
    for uri in sorted(uris):
        try:
            run = read_runs([uri])[0]
        except DataError as error:
            unreadable.append((uri, str(error)))
        else:
            groups.setdefault(json.dumps(conditions(run.record)), []).append(run)
    if not groups:
        reasons = "; ".join(reason for _, reason in unreadable)
        raise UsageError("No run can be read", received=reasons, accepted="finished runs of this version of slotwise")
    chosen = max(groups.values(), key=_rank)
    others = [run for group in groups.values() if group is not chosen for run in group]
    left_out = [(run.uri, ", ".join(differences(run.record, chosen[0].record))) for run in others]
    return Choice([run.uri for run in chosen], sorted(unreadable + left_out))


def _rank(group: list[Run]) -> tuple[bool, int, str]:
    row_count = len({(run.record.engine, run.record.slots) for run in group})
    return row_count > 1, len(group), max(run.record.created for run in group)
