"""Every preset: its file is understood, and a short version of it runs from images to the comparison by one spark-submit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import SparkSession

from datasets import write_cifar10, write_fashion, write_folder
from job_runs import STUDY
from slotwise import config
from slotwise.errors import UsageError
from slotwise.pipelines import study, train
from slotwise.settings.study import StudySettings

if TYPE_CHECKING:
    from conftest import SparkSubmit

pytestmark = pytest.mark.timeout(600)

STUDIES = Path(__file__).parent.parent / "conf" / "studies"
SHORT = "--epochs 1 --warmup-epochs 0 --steps-per-epoch 2 --batch-size 8 --logical-shards 2 --cache cache"


def preset(name: str) -> str:
    return str(STUDIES / f"{name}.toml")


def source_of(name: str, directory: Path) -> list[str]:
    """Flags that give a preset a small source of the kind it asks for."""
    directory.mkdir()
    if name.startswith("cifar10"):
        write_cifar10(directory, 40)
    elif name == "fashion-orca":
        write_fashion(directory, ".gz", (120, 40))
    elif name == "leaf-frameworks":
        write_folder(directory, 3, 12)
    else:
        return ["--classes", "3", "--per-class", "10"]
    return ["--input", str(directory)]


@pytest.mark.parametrize(
    ("name", "changes", "rows"),
    [
        ("cifar10-resnet18", "--model-parameters filters=4 --cores-per-slot 1", [("resnet18", 1)]),
        ("cifar10-vitucci", "", [("simple", 1), ("simple", 2)]),
        ("covers-mazzon", "--slots 1", [("covers", 1)]),
        ("fashion-orca", "--slots 1", [("fashion", 1)]),
        ("leaf-frameworks", "--slots 1", [("leaf", 1), ("leaf", 1)]),
    ],
)
def test_a_short_version_runs_from_images_to_the_comparison(
    name: str, changes: str, rows: list[tuple[str, int]], tmp_path: Path, spark: SparkSession, spark_submit: SparkSubmit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--config", preset(name), *source_of(name, tmp_path / "source"), *SHORT.split(), *changes.split(), "--dataset", "ds", "--output", "out"]

    def run(*more: str) -> None:
        settings = config.load(StudySettings, [*arguments, *more])
        study.run(settings, study.check(settings), ["a", "test"], spark)

    if name == "cifar10-vitucci":  # the job itself is the same for all of them
        done = spark_submit("--master", "local[2]", STUDY, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        run()
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [(row["model"], row["slots"]) for row in content["rows"]] == rows
    assert all(row["inference_seconds_mean"] > 0 for row in content["rows"])
    assert (tmp_path / "out" / "comparison.html").exists()
    for slots, accuracy in content["published_accuracy"].items():
        assert f"{100 * accuracy:.2f} % on {slots.replace('-', ', ')} slot" in (tmp_path / "out" / "comparison.md").read_text()

    # Everything is kept: the same command has nothing to do, and other settings are not passed off as these.
    capsys.readouterr()
    run()
    assert "kept: the dataset" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["rows"] == content["rows"]
    for flags, says in ((["--learning-rate", "0.5"], "The finished run at"), (["--seed", "8"], "was made otherwise")):
        with pytest.raises(UsageError, match=says):
            run(*flags)


def test_an_engine_that_is_not_installed_is_refused_before_anything_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config.load(StudySettings, ["--dataset", str(tmp_path / "ds"), "--output", str(tmp_path / "out"), "--engines", "tensorflow,torch"])
    monkeypatch.setattr(train, "installed_versions", lambda: {"torch": "absent"})
    with pytest.raises(UsageError, match="make torch"):
        study.check(settings)


def test_each_preset_is_short_and_says_how_to_run_it_and_what_was_published() -> None:
    files = sorted(STUDIES.glob("*.toml"))
    assert [file.stem for file in files] == ["cifar10-resnet18", "cifar10-vitucci", "covers-mazzon", "fashion-orca", "leaf-frameworks"]
    for file in files:
        settings = config.load(StudySettings, ["--config", str(file), "--input", "somewhere"])
        assert settings.model is not None
        header = [line for line in file.read_text().splitlines() if line.startswith("#")]
        assert any(f"spark-submit jobs/study.py --config conf/studies/{file.name}" in line for line in header)
        for word in ("Published", "Here", "minutes"):
            assert any(word in line for line in header), f"{file.name} has no line with {word}"
