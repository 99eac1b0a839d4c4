"""MLflow: a real server that dies in mid-run costs nothing, and its own client finds what is sent afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from job_runs import TRAIN, tiny_dataset
from slotwise import storage
from slotwise.contracts import run as runs
from slotwise.errors import UsageError
from slotwise.localcluster.processes import free_port
from slotwise.pipelines import train
from slotwise.settings.train import TrainSettings
from slotwise.tracking import sending

if TYPE_CHECKING:
    from conftest import SparkSubmit

with_mlflow = pytest.mark.skipif(find_spec("mlflow") is None, reason="MLflow is not installed: make mlflow")


def test_it_is_refused_where_mlflow_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrainSettings(dataset=tiny_dataset(tmp_path / "tiny"), run=str(tmp_path / "run"), batch_size=16, mlflow_experiment="tries")
    monkeypatch.setattr(train, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="make mlflow"):
        train.check(settings)
    assert train.check(settings.model_copy(update={"mlflow_experiment": None})).settings.mlflow_experiment is None


@contextmanager
def server(directory: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's own server on loopback, killed at the end with all that it started."""
    directory.mkdir(exist_ok=True)
    store = ["--backend-store-uri", f"sqlite:///{directory}/mlflow.db", "--artifacts-destination", str(directory / "files")]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *store]
    with (directory / "log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True) as process:
        try:
            deadline = time.monotonic() + 90
            while not _answers(port):
                assert process.poll() is None, (directory / "log").read_text()[-3000:]
                assert time.monotonic() < deadline, (directory / "log").read_text()[-3000:]
                time.sleep(0.3)
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _answers(port: int) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except OSError:
        return False


def _send(*arguments: str, cwd: Path, address: str | None) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment = {**kept, "CUDA_VISIBLE_DEVICES": "-1", **({"MLFLOW_TRACKING_URI": address} if address else {})}
    done = subprocess.run([sys.executable, "-m", "slotwise.tracking.mlflow", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def _check(address: str, run: str) -> None:
    """What MLflow's client finds of a run."""
    import mlflow

    record = runs.load(run)
    client = mlflow.MlflowClient(address, address)
    (experiment,) = [each for each in client.search_experiments() if each.name == "tries"]
    (tracked,) = client.search_runs([experiment.experiment_id])
    assert (tracked.info.status, tracked.info.run_name) == ("FINISHED", storage.name(run))
    assert {name: tracked.data.params[name] for name in ("slots", "model", "batch_size", "seed")} == {"slots": "1", "model": "simple", "batch_size": "16", "seed": "7"}
    for name in ("loss", "validation_accuracy", "images_per_second", "learning_rate"):
        history = client.get_metric_history(tracked.info.run_id, name)
        assert [(each.step, each.value) for each in history] == [(epoch.epoch, getattr(epoch, name)) for epoch in record.epochs]
    assert tracked.data.metrics["test_accuracy"] == record.test_accuracy
    assert {file.path for file in client.list_artifacts(tracked.info.run_id)} >= {"run.json", "report.html"}
    (version,) = client.search_model_versions("name = 'tries-simple'")
    assert (int(version.version), version.run_id) == (1, tracked.info.run_id)  # the local store gives a number, a server text
    mlflow.set_tracking_uri(address)
    model = mlflow.pyfunc.load_model("models:/tries-simple/1")
    assert str(model.metadata.signature.inputs.inputs[0].type) == "uint8"
    chances = model.predict(np.zeros((2, 16, 16, 3), np.uint8))
    assert np.asarray(chances).shape == (2, len(record.class_names))
    np.testing.assert_allclose(np.sum(chances, axis=1), 1, rtol=1e-5)


@with_mlflow
@pytest.mark.timeout(600)
def test_a_server_killed_in_mid_run_costs_nothing(tmp_path: Path, spark_submit: SparkSubmit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    dataset, run = tiny_dataset(tmp_path / "tiny"), tmp_path / "run"
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    flags = ["--dataset", dataset, "--run", str(run), "--model", "simple", "--epochs", "2", "--batch-size", "16", "--mlflow-experiment", "tries"]
    with server(tmp_path / "server", port) as process:
        killed_at = []

        def kill_after_an_epoch() -> None:
            while not list(run.glob("checkpoints/epoch-00001*")):
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGKILL)
            killed_at.append((run / "run.json").exists())

        threading.Thread(target=kill_after_an_epoch, daemon=True).start()
        done = spark_submit("--master", "local[1]", TRAIN, *flags, environment={"MLFLOW_TRACKING_URI": address})
    assert killed_at == [False]
    assert done.returncode == 0, done.stdout + done.stderr
    record = runs.load(str(run))
    assert len(record.epochs) == 2
    assert f"not sent to MLflow: MLflow at {address} cannot be used" in done.stdout
    assert f"to send it: python -m slotwise.tracking.mlflow {run.as_uri()}" in done.stdout
    assert f"test accuracy {record.test_accuracy:.2%}" in done.stdout
    with server(tmp_path / "server", port):
        said = _send(str(run), cwd=tmp_path, address=address)
        assert "model tries-simple version 1" in said
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        sending.send_apart(run.as_uri())
        assert "was there already" in capsys.readouterr().out
        _check(address, str(run))
    assert "model tries-simple version 1" in _send(str(run), cwd=tmp_path, address=None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    _check(f"sqlite:///{tmp_path}/workspace/mlflow/mlflow.db", str(run))
