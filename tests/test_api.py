"""The jobs as functions and as a stage of Spark ML: the README's notebook as it stands there, and what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession

import slotwise
from datasets import write_folder
from job_runs import tiny_dataset
from slotwise.contracts import dataset as datasets
from slotwise.errors import UsageError
from slotwise.ml import ImageClassifier

FILES = 62


@pytest.fixture(scope="module")
def notebook(repository: Path, tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> dict[str, Any]:
    """The names that the README's two cells leave behind, run beside three classes of 20 photos, a copy of one and a broken one."""
    root = tmp_path_factory.mktemp("notebook")
    write_folder(root / "photos", classes=3, per_class=20)
    first = root / "photos" / "Tomato___kind 0"
    shutil.copy(first / "leaf 0.JPG", first / "copy.jpg")
    (first / "broken.jpg").write_bytes(b"no image")
    readme = (repository / "README.md").read_text()
    cells = re.findall(r"```python\n(.*?)```", readme[readme.index("## From a notebook") :], re.DOTALL)[:2]
    # Java was started elsewhere, and goes by its own working directory; what two slots do is in other tests.
    here = {'"photos/*"': repr(str(root / "photos" / "*")), '"workspace/pipeline"': repr(str(root / "workspace" / "pipeline")), "slots=2, epochs=2": "epochs=1", "epochs=2": "epochs=1"}
    names: dict[str, Any] = {"spark": spark, "confs": dict(spark.conf.getAll)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for cell in cells:
            for text, local in here.items():
                cell = cell.replace(text, local)
            exec(cell, names)
    return names


def test_the_session_is_lent(notebook: dict[str, Any], spark: SparkSession) -> None:
    assert dict(spark.conf.getAll) == notebook["confs"]
    assert spark.range(3).count() == 3


def test_functions_return_the_records(notebook: dict[str, Any]) -> None:
    dataset, run, evaluation = (notebook[name] for name in ("dataset", "run", "evaluation"))
    assert dataset.uri.endswith("/workspace/datasets/folder")
    assert (dataset.accounting.rows, dataset.accounting.set_aside) == (FILES, {"identical-image": 1, "not-an-image": 1})
    assert (run.dataset, run.slots, len(run.epochs)) == (dataset.uri, 1, 1)
    assert evaluation.runs[0].accuracy == pytest.approx(run.test_accuracy)
    assert evaluation.command == f"slotwise.evaluate(runs=['{run.uri}'])"


def test_predictions_stand_beside_the_columns(notebook: dict[str, Any]) -> None:
    assert notebook["predictions"].columns == ["path", "content", "class", "probability", "top_classes", "top_probabilities", "status", "error"]


def transformed(model: Any, frame: DataFrame) -> dict[str, tuple[float | None, list[float] | None, str]]:
    rows = model.transform(frame).select("path", "prediction", "probability", "status").collect()
    return {row["path"]: (row["prediction"], row["probability"] and row["probability"].toArray().tolist(), row["status"]) for row in rows}


def test_a_fitted_pipeline_outlives_its_run(notebook: dict[str, Any]) -> None:
    (fitted,) = notebook["model"].stages
    dataset = datasets.load(fitted.record.dataset)
    assert (dataset.accounting.rows, dataset.accounting.set_aside) == (FILES, {"duplicate": 1, "not-an-image": 1})
    before = transformed(notebook["model"], notebook["labelled"])
    root = Path(fitted.record.uri.removeprefix("file://")).parents[2]
    assert sorted(child.name for child in next((root / "classifiers").iterdir()).iterdir()) == ["dataset", "run"]
    shutil.rmtree(root / "classifiers")
    loaded = PipelineModel.load(str(root / "pipeline"))
    assert transformed(loaded, notebook["labelled"]) == before
    assert loaded.stages[0].extractParamMap() == fitted.extractParamMap()
    good = [found for found in before.values() if found[2] == "predicted"]
    assert len(good) == FILES - 1
    assert all(probability is not None and prediction == np.argmax(probability) for prediction, probability, _ in good)
    assert [found for found in before.values() if found[2] != "predicted"] == [(None, None, "not-an-image")]


def test_labels_of_any_number_type_name_the_same_class(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(b"a", 3.0), (b"b", 2.5), (b"c", float("nan")), (b"d", None)], "image binary, label double")
    for kind, names in {"double": ["3", "2.5", None, None], "decimal(3,1)": ["3", "2.5"]}.items():
        typed = frame.limit(len(names)).withColumn("label", frame["label"].cast(kind))
        rows, is_number = ImageClassifier()._rows(typed)
        assert (is_number, [row["label_name"] for row in rows.collect()]) == (True, names)


def test_import_loads_neither_spark_nor_tensorflow() -> None:
    code = "import sys, slotwise; assert 'train' in dir(slotwise); print(sorted({'pyspark', 'tensorflow', 'keras', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


REFUSALS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "unknown argument": ("train", {"epoch": 3}, ("no argument 'epoch'", "did you mean 'epochs'?", "epoch=3")),
    "value out of range": ("train", {"batch_size": 0}, ("The value of batch_size is wrong", "Received: 0")),
    "no truth value": ("train", {"overwrite": "perhaps"}, ("The value of overwrite is wrong", "'perhaps'")),
    "arguments that exclude each other": ("train", {"resume": True, "overwrite": True}, ("resume=True and overwrite=True exclude",)),
    "more slots than shards": ("train", {"dataset": "data", "slots": 5}, ("Received: slots 5", "logical_shards")),
    "splits": ("prepare", {"source": "folder", "input": Path("data"), "dataset": Path("data")}, ("There is a dataset already", "overwrite=True")),
    "no input": ("prepare", {"source": "folder"}, ("Source folder needs input",)),
    "no run": ("evaluate", {}, ("No run is named", "no runs")),
}


@pytest.mark.parametrize(("function", "arguments", "says"), REFUSALS.values(), ids=REFUSALS.keys())
def test_errors_speak_python(function: str, arguments: dict[str, Any], says: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_dataset(tmp_path / "data")
    with pytest.raises(UsageError) as refused:
        getattr(slotwise, function)(**arguments)
    for part in says:
        assert part in str(refused.value)
    assert "--" not in str(refused.value)


def test_a_classifier_refuses_before_it_writes(tmp_path: Path, spark: SparkSession) -> None:
    frame = spark.createDataFrame([(bytearray(b"a"), "x")], "image binary, label string")
    with pytest.raises(UsageError, match=r"no param 'epoch' \(did you mean 'epochs'\?\)"):
        ImageClassifier(epoch=3)
    for params, says in (
        ({}, "workDir is missing"),
        ({"workDir": str(tmp_path), "learningRate": -1}, "The value of learningRate is wrong"),
        ({"workDir": str(tmp_path), "imageSize": [2, 2]}, "The value of imageSize is wrong"),
        ({"workDir": str(tmp_path), "labelCol": "image"}, "no column 'image' of labels"),
        ({"workDir": str(tmp_path), "imageCol": "label"}, "no column 'label' of bytes"),
        ({"workDir": str(tmp_path), "model": "simple", "modelParameters": {"depth": 3}}, "no such parameter"),
    ):
        with pytest.raises(UsageError, match=says):
            ImageClassifier(**params).fit(frame)
    assert list(tmp_path.iterdir()) == []
