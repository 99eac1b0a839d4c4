"""A finished run as an MLflow run: parameters, metrics of each epoch, artefacts, and the model as a registered version.

    python -m slotwise.tracking.mlflow RUN … [--experiment NAME]

All of it comes from the run's own files, so it can be sent at any time; what has been sent already is not sent again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from slotwise import storage
from slotwise.config import run_job
from slotwise.contracts import run as runs
from slotwise.contracts.paths import RunPaths
from slotwise.contracts.run import RunRecord
from slotwise.errors import DataError, UsageError
from slotwise.tracking.sending import SENT

ADDRESS_VARIABLE = "MLFLOW_TRACKING_URI"
LOCAL = "workspace/mlflow"
"""Where the database and the artefacts go without a server."""

_ID_TAG = "slotwise.id"
_EPOCH_METRICS = (
    "loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate", "gradient_norm", "images_per_second", "seconds",
    "all_reduce_share", "waiting_for_data_share",
)  # fmt: skip
_RUN_METRICS = ("test_loss", "test_accuracy", "train_seconds", "total_seconds", "inference_seconds", "parameters", "best_epoch")
_METRICS_AT_A_TIME = 1000  # MLflow takes no more


def main(arguments: Sequence[str]) -> None:
    """Sends runs.

    Raises:
        UsageError: MLflow is not installed, or an experiment is not named.
        DataError: a run is not finished, or MLflow cannot be reached.
    """
    options = _parser().parse_args(arguments)
    if find_spec("mlflow") is None:
        raise UsageError("MLflow is not installed", received="no package mlflow", accepted="make mlflow, or pip install 'slotwise[mlflow]'")
    for run in options.runs:
        print(f"{SENT}{send(storage.normalise(run), options.experiment)}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m slotwise.tracking.mlflow", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a finished run, as path or URI")
    parser.add_argument("--experiment", help="its experiment (default: that of the run's --mlflow-experiment)")
    return parser


def send(run: str, experiment: str | None = None) -> str:
    """Sends a run to the server that `MLFLOW_TRACKING_URI` names, else into a local database; returns what there is now, in words.

    Raises:
        UsageError: no experiment is named.
        DataError: the run is not finished, or MLflow cannot be reached.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    record = runs.load(run)
    name = experiment or record.settings.get("mlflow_experiment")
    if not name:
        raise UsageError("The run names no experiment of MLflow", received=run, accepted="--experiment NAME")
    address = os.environ.get(ADDRESS_VARIABLE) or f"sqlite:///{Path(LOCAL).resolve()}/mlflow.db"
    shown = re.sub(r"//[^/@]*@", "//", address)  # a password is nobody else's business
    try:
        mlflow.set_tracking_uri(address)
        return f"{_send(run, record, str(name))} at {shown}"
    except (MlflowException, OSError) as error:
        reason = re.sub(r"//[^/@]*@", "//", str(error)).strip().splitlines()
        raise DataError(f"MLflow at {shown} cannot be used: {reason[0] if reason else type(error).__name__}") from error


def _send(run: str, record: RunRecord, experiment: str) -> str:
    import mlflow

    client = mlflow.MlflowClient()
    place = _experiment(client, experiment)
    # The same run, trained on for more epochs, is another one here.
    known = hashlib.sha256(f"{run} {record.created}".encode()).hexdigest()
    for earlier in client.search_runs([place], f"tags.`{_ID_TAG}` = '{known}'"):
        if earlier.info.status == "FINISHED":
            return f"run {earlier.info.run_id} of experiment {experiment} was there already,"
        _remove(client, earlier.info.run_id)
    end = int(datetime.fromisoformat(record.created).timestamp() * 1000)
    start = end - int(record.total_seconds * 1000)
    tags = {_ID_TAG: known, "slotwise.run": run, **{f"version.{package}": version for package, version in record.versions.items()}}
    tracked = client.create_run(place, start, tags, run_name=storage.name(run)).info.run_id
    client.log_batch(tracked, params=[mlflow.entities.Param(key, value) for key, value in _parameters(record).items()])
    metrics = list(_metrics(record, start, end))
    for first in range(0, len(metrics), _METRICS_AT_A_TIME):
        client.log_batch(tracked, metrics=[mlflow.entities.Metric(*metric) for metric in metrics[first : first + _METRICS_AT_A_TIME]])
    with tempfile.TemporaryDirectory() as scratch:
        version = _send_files(client, tracked, run, record, f"{experiment}-{record.model}", Path(scratch))
    client.set_terminated(tracked, "FINISHED", end)
    return f"run {tracked} of experiment {experiment}, {version},"


def _experiment(client: Any, name: str) -> str:
    """The experiment's id; it is made where it is new."""
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    is_served = ADDRESS_VARIABLE in os.environ  # and knows a place for files of its own
    return str(client.create_experiment(name, None if is_served else (Path(LOCAL).resolve() / "artifacts").as_uri()))


def _remove(client: Any, tracked: str) -> None:
    """Takes back what was sent in part."""
    for version in client.search_model_versions(f"run_id = '{tracked}'"):
        client.delete_model_version(version.name, version.version)
    client.delete_run(tracked)


def _parameters(record: RunRecord) -> dict[str, str]:
    chosen = {name: value for name, value in record.settings.items() if value not in (None, [], {})}
    return {name: str(value) for name, value in {**chosen, "dataset_fingerprint": record.dataset_fingerprint}.items()}


def _metrics(record: RunRecord, start: int, end: int) -> Iterator[tuple[str, float, int, int]]:
    """Name, value, time in milliseconds since 1970, and epoch of each number that a run has."""
    seconds = 0.0
    for epoch in record.epochs:
        seconds += epoch.seconds + epoch.validation_seconds
        for name in _EPOCH_METRICS:
            if (value := getattr(epoch, name)) is not None:
                yield name, value, min(start + int(seconds * 1000), end), epoch.epoch
    for name in _RUN_METRICS:
        if (value := getattr(record, name)) is not None:
            yield name, value, end, len(record.epochs)


def _send_files(client: Any, tracked: str, run: str, record: RunRecord, name: str, scratch: Path) -> str:
    """Sends record, report and model; returns the version that the model is registered as."""
    import keras
    import mlflow
    import mlflow.keras
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    paths = RunPaths(run)
    for uri in (paths.record, paths.report, paths.model):
        storage.download(uri, str(scratch / storage.name(uri)))
    for uri in (paths.record, paths.report):
        client.log_artifact(tracked, str(scratch / storage.name(uri)))
    model = keras.saving.load_model(str(scratch / storage.name(paths.model)), compile=False, safe_mode=True)
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.uint8), (-1, *model.input_shape[1:]), "image")]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, len(record.class_names)), "probabilities")]),
    )
    registered = re.sub("[:/]", ".", name)
    with mlflow.start_run(run_id=tracked):
        info = mlflow.keras.log_model(
            model, name="model", signature=signature, registered_model_name=registered, metadata={"classes": record.class_names},
            pip_requirements=[f"{package}=={record.versions[package]}" for package in ("tensorflow", "keras", "numpy")],
        )  # fmt: skip
    return f"model {registered} version {info.registered_model_version}"


if __name__ == "__main__":
    run_job(main)
