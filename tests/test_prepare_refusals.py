"""Bad calls of prepare: each ends with exit code 2 and without a traceback, and those that can, before Spark starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from job_runs import PREPARE, without_java

if TYPE_CHECKING:
    from conftest import SparkSubmit


class Call(NamedTuple):
    arguments: str
    says: tuple[str, ...]


CALLS = {
    "missing input": Call("--source covers --input none.csv", ("input does not exist", "none.csv")),
    "no input": Call("--source folder", ("needs --input", "none")),
    "input of the demo": Call("--input books.csv", ("draws its own", "books.csv", "--source covers, cifar10, fashion-mnist or folder")),
    "classes of the demo by name": Call("--class-pattern Juv*", ("chooses its classes", "--class-pattern Juv*", "--classes from 2")),
    "empty pattern": Call("--class-pattern=", ("--class-pattern", "''", "patterns such as")),
    "existing dataset": Call("--dataset ready", ("a dataset already", "ready", "--overwrite")),
    "existing other directory": Call("--dataset other", ("not a dataset", "other", "--overwrite")),
    "overwriting what is no dataset": Call("--dataset home --overwrite", ("something else than a dataset", "home", "another --dataset")),
    "unknown flag": Call("--class 3", ("--class", "--help")),
    "unknown source": Call("--source covrs", ("--source", "'covrs'", "demo, covers, cifar10, fashion-mnist or folder")),
    "unknown format": Call("--format csv", ("--format", "'csv'", "tfrecord or parquet")),
    "one class": Call("--classes 1", ("--classes", "'1'", "from 2")),
    "more classes than the demo has": Call("--classes 25", ("24 classes", "--classes 25", "from 2 to 24")),
    "no logical shards": Call("--logical-shards 0", ("--logical-shards", "'0'")),
    "size of one number": Call("--image-size 64", ("--image-size", "'64'", "HEIGHTxWIDTH")),
    "splits beyond 100": Call("--split 60,20,30", ("--split", "add up to 100")),
    "no test split": Call("--split 80,20,0", ("--split", "test above 0")),
    "mirror without target": Call("--mirror http://books.example", ("--mirror", "FROM=TO")),
    "network that is none": Call("--allow-addresses 10.0.0.1/8", ("--allow-addresses", "10.0.0.1/8", "host bits set", "10.0.0.0/8")),
    "share above one": Call("--max-failed 20", ("--max-failed", "'20'", "from 0 to 1")),
    "unknown storage": Call("--dataset gopher://x/y", ("--dataset", "gopher")),
    "unknown key": Call("--config bad.toml", ("per-clas", "per-class")),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a dataset, something else, and a settings file with a slip of the pen."""
    directory = tmp_path_factory.mktemp("desk")
    (directory / "ready").mkdir()
    (directory / "ready" / "dataset.json").write_text("{}")
    (directory / "other").mkdir()
    (directory / "home").mkdir()
    (directory / "home" / "letters.txt").write_text("dear")
    (directory / "books.csv").write_text("categories,image\n['A'],http://127.0.0.1:9/a.jpg\n['B'],http://127.0.0.1:9/b.jpg\n")
    (directory / "bad.toml").write_text("per-clas = 20\n")
    return directory


@pytest.mark.parametrize("name", CALLS)
def test_what_can_be_refused_without_spark_is(name: str, desk: Path) -> None:
    before = sorted(desk.rglob("*"))
    run = without_java(PREPARE, *CALLS[name].arguments.split(), cwd=desk)
    assert run.returncode == 2, run.stderr
    assert run.stderr.startswith("error: ")
    assert "Traceback" not in run.stderr
    assert run.stderr.count("\n") == 1
    for words in CALLS[name].says:
        assert words in run.stderr
    assert sorted(desk.rglob("*")) == before


def test_more_classes_than_the_input_has(spark_submit: SparkSubmit, desk: Path) -> None:
    run = spark_submit(PREPARE, *["--source", "covers", "--input", "books.csv", "--classes", "3", "--dataset", "new/books"], cwd=desk)
    assert run.returncode == 2, run.stderr
    assert "error: The input has 2 classes with usable rows. Received: --classes 3. Accepted: a whole number from 2 to 2." in run.stdout
    assert "Traceback" not in run.stdout + run.stderr
    assert list((desk / "new").iterdir()) == []
