"""Records and checkpoints from strangers: they lead nowhere else, fill no memory, and what is in them is text to every report."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets import make_dataset
from records import evaluation_record, run_record
from slotwise.contracts import dataset, run
from slotwise.errors import DataError
from slotwise.evaluation.write import markdown
from slotwise.report.evaluation import evaluation_report
from slotwise.training.checkpoints import Checkpoint, Checkpoints, Progress

NAMES = ["../../../etc/passwd", "<script>alert(1)</script>", "$\\frac{1", "| cell | \n# heading", "\x1b[2J\x00", "n" * 3_000]


def changed(uri: str, **changes: Any) -> str:
    path = Path(uri.removeprefix("file://")) / "dataset.json"
    content = json.loads(path.read_text())
    shard = content["splits"]["train"]["shards"][0]
    (shard if changes.keys() <= shard.keys() else content).update(changes)
    path.write_text(json.dumps(content))
    return uri


@pytest.mark.parametrize("file", ["/etc/passwd", "../other/train/shard-00000.tfrecord", "train/../../x", "train\\..\\x", "", "hdfs://elsewhere/x", "train//x", "."])
def test_a_shard_lies_below_its_dataset(tmp_path: Path, file: str) -> None:
    uri = changed(make_dataset(tmp_path / "data", shards=1, counts=(2, 1, 1)), file=file)
    with pytest.raises(DataError, match=r"damaged at 'splits.train.shards.0.file'.*no path below the dataset"):
        dataset.load(uri)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sha256": "../../../home/somebody/file"}, "sha256"),
        ({"samples": -1}, "samples"),
        ({"logical_shards": 2}, "do not add up"),
        ({"splits": {}}, "the split train is missing"),
        ({"classes": ["one"]}, "counts 4 classes of 1"),
    ],
)
def test_a_record_that_contradicts_itself_is_damaged(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    uri = changed(make_dataset(tmp_path / "data", shards=1, counts=(2, 1, 1)), **changes)
    with pytest.raises(DataError, match=says):
        dataset.load(uri)


def test_json_without_end_is_damage(tmp_path: Path) -> None:
    for name, load in (("dataset.json", dataset.load), ("run.json", run.load)):
        (tmp_path / name).write_text("[" * 200_000)
        with pytest.raises(DataError, match="is not JSON"):
            load(tmp_path.as_uri())


def test_a_checkpoint_that_unpacks_to_more_than_it_is_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(history=run_record(epochs=1).epochs, settings={}, dataset_fingerprint="f")
    checkpoints = Checkpoints(tmp_path.as_uri())
    checkpoints.save(Checkpoint(progress, [np.ones(3)], [], np.zeros((0, 4, 2), np.int32)))
    (sound,) = tmp_path.glob("epoch-*.npz")
    content = io.BytesIO()
    with zipfile.ZipFile(sound) as source, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
        target.writestr("weight-00001.npy", b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|u1', 'fortran_order': False, 'shape': (100000000,), }".ljust(117) + b"\n" + bytes(100_000_000))
    (tmp_path / "epoch-00009-step-00000000.npz").write_bytes(content.getvalue())
    found = checkpoints.latest()
    assert found is not None
    assert len(found.weights) == 1
    assert "unpacks to more bytes than it has" in capsys.readouterr().out


def test_names_of_classes_are_text_in_an_evaluation() -> None:
    record, images = evaluation_record(NAMES)
    page = evaluation_report(record, images)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    lines = markdown(record).splitlines()
    assert not any("<script" in line or line.startswith("# heading") or "\x1b" in line for line in lines)
    row = next(line for line in lines if line.startswith("| \\| cell"))
    assert row.replace("\\|", "").count("|") == 6
