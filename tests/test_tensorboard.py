"""Event files without a training: a storage that fails, going on, and TensorBoard itself on a run."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from events import seen
from records import epoch_record
from slotwise import storage
from slotwise.errors import UsageError
from slotwise.localcluster.processes import fetch_json
from slotwise.tracking.board import Board
from slotwise.tracking.mirror import mirror, with_events
from slotwise.tracking.pictures import SAMPLES, confusion_matrix, grid

NAMES = ["a", "b", "c"]


def board(run: str) -> Board:
    return Board(storage.join(run, "tensorboard"), NAMES)


def test_what_cannot_be_written_is_said_and_written_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_the_way = tmp_path / "tensorboard"
    in_the_way.write_text("")
    writer = board(tmp_path.as_uri())
    writer.begin([])
    for epoch in (1, 2):
        writer.add_epoch(epoch_record(epoch), np.eye(3, dtype=np.int64))
        writer.write()
    assert "2 files for TensorBoard could not be written, and wait: " in capsys.readouterr().out
    in_the_way.unlink()
    writer.add_epoch(epoch_record(3), None)
    writer.write()
    assert capsys.readouterr().out == ""
    read = seen(tmp_path.as_uri())
    assert list(read.scalars["loss/training"]) == [1, 2, 3]
    assert list(read.images["confusion/validation"]) == [1, 2]


def test_going_on_drops_what_is_trained_again_and_adds_what_is_missing(place: str) -> None:
    first = board(place)
    for epoch in (2, 3):
        first.add_epoch(epoch_record(epoch, loss=0.5), None)
    first.write()
    second = board(place)
    second.begin([epoch_record(1, loss=0.25), epoch_record(2, loss=0.5)])
    second.add_epoch(epoch_record(3, loss=0.75), None)
    second.write()
    assert seen(place).scalars["loss/training"] == {1: 0.25, 2: 0.5, 3: 0.75}


def test_a_mirror_follows_its_run(tmp_path: Path) -> None:
    run, local = (tmp_path / "run").as_uri(), tmp_path / "local"
    for epoch in (1, 2):
        writer = board(run)
        writer.begin([])
        writer.add_epoch(epoch_record(epoch), None)
        writer.write()
        assert mirror(run, local) == 1
        assert sorted(path.name for path in local.iterdir()) == storage.finished(storage.join(run, "tensorboard"))
    assert mirror(run, local) == 0
    assert with_events(str(tmp_path)) == with_events(run) == [run]
    with pytest.raises(UsageError, match="No run with files for TensorBoard"):
        with_events(str(tmp_path / "elsewhere"))


def test_tensorboard_shows_runs_on_loopback(tmp_path: Path) -> None:
    for name in ("one", "two"):
        writer = board((tmp_path / name).as_uri())
        writer.add_samples(np.zeros((4, 8, 8, 3), np.uint8))
        writer.add_epoch(epoch_record(1, loss=0.25), None)
        writer.write()
    command = [sys.executable, "-m", "slotwise.tracking", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            said = next(line for line in process.stdout if line.startswith("TensorBoard: "))
            address = re.search(r"http://127\.0\.0\.1:\d+/", said)
            assert address is not None, said
            tags = fetch_json(f"{address[0]}data/plugin/scalars/tags")
            assert sorted(tags) == ["01 one", "02 two"]
            ((_, step, loss),) = fetch_json(f"{address[0]}data/plugin/scalars/scalars?run=01%20one&tag=loss/training")
            assert (step, loss) == (1, 0.25)
            assert list(fetch_json(f"{address[0]}data/plugin/images/tags")["02 two"]) == ["samples/training"]
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(("count", "shape"), [(1, (4, 6, 1)), (7, (32, 32, 3)), (40, (150, 100, 3)), (3, (400, 300, 1))])
def test_a_grid_has_the_first_images(count: int, shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(1).uniform(-5, 260, (count, *shape)).astype(np.float32)
    picture = grid(images)
    shown = min(count, SAMPLES)
    assert picture.width * picture.height > shown * shape[0] * shape[1]
    assert max(picture.width, picture.height) < 2000
    assert picture.png.startswith(b"\x89PNG")


@pytest.mark.parametrize("classes", [2, 25, 26, 100])
def test_any_number_of_classes_can_be_drawn(classes: int) -> None:
    picture = confusion_matrix(np.zeros((classes, classes), np.int64), [f"class {number}" for number in range(classes)])
    assert picture.width < 1500
