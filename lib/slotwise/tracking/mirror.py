"""Local copies of runs' event files, for TensorBoard, which opens no hdfs://."""

from __future__ import annotations

import os
from pathlib import Path

from slotwise import storage
from slotwise.contracts.paths import RunPaths
from slotwise.errors import UsageError


def with_events(uri: str) -> list[str]:
    """The runs with event files at a URI: itself, or those directly below it.

    Raises:
        UsageError: there are none.
    """
    uri = storage.normalise(uri)
    places = [uri, *(storage.child(uri, name) for name in storage.finished(uri))] if storage.is_directory(uri) else []
    runs = [place for place in places if storage.finished(RunPaths(place).tensorboard)]
    if not runs:
        raise UsageError("No run with files for TensorBoard is there", received=uri, accepted="the URI of a run whose first epoch is over, or of a directory of runs")
    return runs


def mirror(run: str, directory: Path) -> int:
    """Makes a local directory hold just a run's event files; returns how many are new there. A name stands for one content."""
    source = RunPaths(run).tensorboard
    names = storage.finished(source)
    directory.mkdir(parents=True, exist_ok=True)
    for name in set(os.listdir(directory)) - set(names):
        (directory / name).unlink()
    new = [name for name in names if not (directory / name).exists()]
    for name in new:
        storage.download(storage.join(source, name), str(directory / name))
    return len(new)
