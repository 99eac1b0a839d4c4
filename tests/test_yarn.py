"""The README's lines for YARN, on a real ResourceManager and NodeManager, with executors that run from the archive they were sent."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import slotwise
from slotwise import archive, storage
from slotwise.contracts import run as runs
from slotwise.errors import UsageError
from slotwise.localcluster import spark, yarn
from slotwise.localcluster.cluster import LocalCluster

if TYPE_CHECKING:
    from conftest import SparkSubmit

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

# Small, and says which Python and which Keras it is built by.
MODEL = """
import sys
import keras
from keras import layers

def tiny(image_shape, classes):
    print("built by", sys.executable, keras.__file__, flush=True)
    x = inputs = keras.Input(image_shape)
    x = layers.Flatten()(layers.MaxPooling2D(8)(layers.Rescaling(1 / 255)(x)))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))
"""
SHORTER = {
    "prepare": ["--classes", "2", "--per-class", "20"],
    "train_distributed": ["--epochs", "1", "--batch-size", "16", "--model", "tiny_model:tiny"],
}


@pytest.fixture(scope="module")
def on_yarn(cluster: LocalCluster) -> Iterator[LocalCluster]:
    """The cluster with YARN beside it, for programs that this environment's own PYTHONPATH does not follow into containers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        patch.setenv("HADOOP_CONF_DIR", cluster.state.hadoop_conf)
        cluster.start_yarn()
        try:
            yield cluster
        finally:
            if "resourcemanager" in cluster.parts:
                cluster.stop_yarn()


@pytest.fixture(scope="module")
def environment(cluster: LocalCluster) -> str:
    """URI of an archive without extras and without what the driver alone uses; not compressed, which would take longer than sending it."""
    uri = f"{cluster.hdfs}/tests/environment.tar"
    archive.main(["--output", uri, "--extras", "--without", "matplotlib", "scikit-learn", "keras-tuner"])
    return uri


def readme_lines(repository: Path) -> Iterator[list[str]]:
    """Words of the README's spark-submit lines for YARN, with `$YARN` written out."""
    text = (repository / "README.md").read_text()
    block = re.search(r"```bash\n(.*?)```", text[text.index("**On YARN**") :], re.DOTALL)
    assert block is not None
    (shared,) = re.findall(r'^YARN="(.*)"$', block[1], re.MULTILINE)
    for line in re.findall(r"^spark-submit (.*)$", block[1], re.MULTILINE):
        yield shlex.split(line.replace("$YARN", shared))


def containers_of(cluster: LocalCluster) -> list[str]:
    listed = subprocess.run(["ps", "-ww", "-eo", "args="], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in listed if f"{cluster.directory}/yarn/" in line]


def test_the_readme_s_lines_prepare_and_train_on_two_executors(
    repository: Path, on_yarn: LocalCluster, environment: str, spark_submit: SparkSubmit, tmp_path: Path
) -> None:
    root = f"{on_yarn.hdfs}/tests/yarn"
    (tmp_path / "tiny_model.py").write_text(MODEL)
    # Not by PYTHONPATH, which Spark passes on to containers.
    driver = tmp_path / "driver-python"
    driver.write_text(f'#!/bin/sh\nPYTHONPATH={Path(slotwise.__file__).parent.parent}:$PYTHONPATH exec {sys.executable} "$@"\n')
    driver.chmod(0o755)
    here = {"$H/environment.tar.gz": environment, "$H": root, ".venv/bin/python": str(driver), "jobs/": f"{repository}/jobs/"}
    light = ("--conf", f"spark.yarn.jars=local:{spark.home()}/jars/*", "--conf", f"spark.yarn.am.extraJavaOptions={' '.join(spark.LIGHT)}")
    said = {}
    for words in readme_lines(repository):
        for old, new in here.items():
            words = [word.replace(old, new) for word in words]
        job = next(Path(word).stem for word in words if word.endswith(".py"))
        if job in SHORTER:
            done = spark_submit(*light, *words, *SHORTER[job], cwd=tmp_path)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
            said[job] = done.stdout
    assert list(said) == ["prepare", "train_distributed"]

    record = runs.load(f"{root}/runs/demo")
    assert record.slots == 2
    assert {slot.executor for slot in record.placement} == {"1", "2"}
    built = re.findall(r"^slot (\d) \| built by \S+/(container_\w+)/environment/bin/python \S+/(container_\w+)/environment/lib/\S+$", said["train_distributed"], re.MULTILINE)
    assert sorted(slot for slot, *_ in built) == ["0", "1"]
    assert all(python == keras for _, python, keras in built)
    assert len({container for _, container, _ in built}) == 2
    assert not record.audit.faults
    logs = [name for name in storage.children(on_yarn.event_logs) if "application_" in name]
    assert len(logs) == 2
    assert not (tmp_path / "workspace").exists()


def test_a_stopped_yarn_leaves_nothing_behind_and_hdfs_alone(on_yarn: LocalCluster) -> None:
    assert {"resourcemanager", "nodemanager"} <= set(on_yarn.state.pids)
    assert yarn.active_nodes(on_yarn.ports.yarn_ui) == 1
    on_yarn.stop_yarn()
    assert containers_of(on_yarn) == []
    assert not {"resourcemanager", "nodemanager"} & set(on_yarn.state.pids)
    assert on_yarn.state.yarn_ui is None
    assert storage.exists(on_yarn.hdfs)


def test_an_archive_has_a_name_that_yarn_unpacks() -> None:
    with pytest.raises(UsageError, match=r"Received: --output environment\.zip\. Accepted: a name that ends in \.tar\.gz, \.tgz, \.tar\."):
        archive.main(["--output", "environment.zip"])


def test_an_archive_of_an_extra_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    real = archive.distribution

    def without_petastorm(name: str) -> object:
        if name == "petastorm":
            raise PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(archive, "distribution", without_petastorm)
    with pytest.raises(UsageError, match="petastorm is not installed"):
        archive.needed("slotwise", ["petastorm"])


def test_what_only_a_package_left_out_needs_is_left_out_too() -> None:
    names = {package.metadata["Name"].lower() for package in archive.needed("slotwise", [], ["matplotlib"])}
    assert {"slotwise", "tensorflow", "numpy", "scikit-learn"} <= names
    assert not {"matplotlib", "kiwisolver", "pytest", "petastorm"} & names
