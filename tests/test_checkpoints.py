"""Checkpoints: what is kept, what damage does, and that a resumed run ends where the undisturbed one ends."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import make_dataset
from events import seen
from records import epoch_record
from slots import end_slots, largest_difference, last_weights, make_job, run_slots
from slotwise import storage
from slotwise.contracts.job import SlotExit
from slotwise.contracts.paths import RunPaths
from slotwise.contracts.run import Position
from slotwise.errors import UsageError
from slotwise.training import audit
from slotwise.training.checkpoints import Checkpoint, Checkpoints, Progress
from slotwise.training.resume import check_resumable, fixed_settings


def checkpoint(epoch: int, best_epoch: int, step: int = 0) -> Checkpoint:
    progress = Progress(
        history=[epoch_record(number) for number in range(1, epoch + 1)],
        step=step,
        sums=(1.5, 2.0, 8.0) if step else (0.0, 0.0, 0.0),
        best_epoch=best_epoch,
        best_loss=0.5 if best_epoch else float("inf"),
        settings={"seed": 7, "augment": ["flip"], "steps_per_epoch": None},
        dataset_fingerprint="f" * 64,
        resumed_from=[Position(epoch=1, step=3)],
    )
    weights = [np.full((2, 3), epoch + step, np.float32), np.arange(12, dtype=np.float64) + epoch]
    fed = np.arange(step * 8, dtype=np.int32).reshape(step, 4, 2)
    return Checkpoint(progress, weights, [np.array(epoch, np.int64), np.full(5, epoch / 2, np.float32)], fed)


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    assert one.progress == other.progress
    for ours, theirs in ((one.weights, other.weights), (one.optimizer, other.optimizer), ([one.fed], [other.fed])):
        assert len(ours) == len(theirs)
        for array, same in zip(ours, theirs, strict=True):
            assert array.dtype == same.dtype
            np.testing.assert_array_equal(array, same)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_last_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path.as_uri())
    assert checkpoints.latest() is None
    for epoch in range(1, 12):  # past 9, where names would sort wrongly without their zeros
        checkpoints.save(checkpoint(epoch, epoch))
    found = checkpoints.latest()
    assert found is not None
    assert found.progress.position == Position(epoch=11, step=0)
    assert_same(found, checkpoint(11, 11))


def test_the_last_two_and_their_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path.as_uri())
    for epoch, best in ((1, 1), (2, 2), (3, 2), (4, 2)):
        checkpoints.save(checkpoint(epoch, best))
    assert names(tmp_path) == ["best-00001.npz", "best-00002.npz", "epoch-00003-step-00000000.npz", "epoch-00004-step-00000000.npz"]
    best = checkpoints.best_weights(2)
    assert best is not None
    np.testing.assert_array_equal(best[0], checkpoint(2, 2).weights[0])
    assert checkpoints.best_weights(3) is None


def test_the_best_weights_take_their_own_bytes_alone(tmp_path: Path) -> None:
    weight = np.ones(1000, np.float32)
    moments = [np.ones(1000, np.float32), np.ones(1000, np.float32)]
    Checkpoints(tmp_path.as_uri()).save(replace(checkpoint(1, 1), weights=[weight], optimizer=moments))
    sizes = {name: (tmp_path / name).stat().st_size for name in names(tmp_path)}
    assert sizes["best-00001.npz"] < 2 * weight.nbytes < 3 * weight.nbytes < sizes["epoch-00001-step-00000000.npz"]


@pytest.mark.parametrize("bests", [(1, 2, 3), (1, 1, 3), (1, 1, 1), (1, 2, 2)])
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "text"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    damage: str, bests: tuple[int, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = Checkpoints(tmp_path.as_uri())
    for epoch, best in enumerate(bests, start=1):
        checkpoints.save(checkpoint(epoch, best))
    newest = tmp_path / "epoch-00003-step-00000000.npz"
    content = newest.read_bytes()
    middle = len(content) // 2
    newest.write_bytes({"flipped": _flip_data(content), "cut": content[:middle], "empty": b"", "text": b"not a checkpoint"}[damage])
    found = checkpoints.latest()
    assert found is not None
    assert_same(found, checkpoint(2, bests[1]))
    assert "epoch-00003-step-00000000.npz cannot be read" in capsys.readouterr().out
    # It is replaced when the epoch has been trained again.
    checkpoints.save(checkpoint(3, bests[2]))
    again = checkpoints.latest()
    assert again is not None
    assert again.progress.position.epoch == 3


def test_checkpoints_within_an_epoch_come_in_order(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path.as_uri(), kept=3)
    for epoch, best, step in ((0, 0, 9), (0, 0, 10), (1, 1, 0), (1, 1, 7)):
        checkpoints.save(checkpoint(epoch, best, step))
        found = checkpoints.latest()
        assert found is not None
        assert_same(found, checkpoint(epoch, best, step))
    assert names(tmp_path) == ["best-00001.npz", "epoch-00000-step-00000010.npz", "epoch-00001-step-00000000.npz", "epoch-00001-step-00000007.npz"]


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unnoticed(place: float, bit: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        checkpoints = Checkpoints(Path(directory).as_uri())
        checkpoints.save(checkpoint(1, 0, 2))
        (path,) = Path(directory).iterdir()
        content = bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 1 << bit
        path.write_bytes(content)
        found = checkpoints.latest()
        if found is not None:  # a bit that means nothing, such as one of a file's time
            assert_same(found, checkpoint(1, 0, 2))


def _flip_data(content: bytes) -> bytes:
    """Changes one bit of the first array's last value: the file's structure stays whole."""
    place = content.index(np.full(1, 3, np.float32).tobytes())
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_dataset(tmp_path_factory.mktemp("data") / "dataset", counts=(97, 24, 16))


def test_a_resumed_run_ends_where_the_undisturbed_one_ends(dataset: str, tmp_path: Path) -> None:
    undisturbed = make_job(dataset, tmp_path / "undisturbed", epochs=2, augment=["flip"])
    expected = run_slots(undisturbed, 1)
    for slots, later in ((1, 1), (2, 1)):
        run = tmp_path / f"run-{slots}-{later}"
        run_slots(make_job(dataset, run, slots=slots, epochs=1, augment=["flip"]), slots)
        resumed = make_job(dataset, run, slots=later, epochs=2, augment=["flip"], resume=True)
        result = run_slots(resumed, later)
        difference = largest_difference(undisturbed, resumed)
        print(f"1 epoch on {slots}, 1 on {later} slots: largest weight difference {difference:.2e}")
        assert difference <= (0 if (slots, later) == (1, 1) else 1e-8)
        assert result.resumed_from == [Position(epoch=1, step=0)]
        assert [epoch.loss for epoch in result.epochs] == pytest.approx([epoch.loss for epoch in expected.epochs], rel=1e-8)
        assert (result.best_epoch, result.test_accuracy) == (expected.best_epoch, expected.test_accuracy)
        one, other = seen(undisturbed.run), seen(resumed.run)
        for tag in ("loss/training", "loss/validation", "optimizer/gradient_norm"):
            assert other.scalars[tag] == pytest.approx(one.scalars[tag], rel=1e-6)
        assert other.images["confusion/validation"] == one.images["confusion/validation"]


def test_a_run_that_is_stopped_within_an_epoch_goes_on_at_the_next_sample(dataset: str, tmp_path: Path) -> None:
    settings = {"epochs": 2, "augment": ["flip"], "checkpoint_steps": 1}
    undisturbed = make_job(dataset, tmp_path / "undisturbed", **settings)
    expected = run_slots(undisturbed, 1)
    for slots, later in ((2, 1), (1, 3)):
        run = tmp_path / f"run-{slots}-{later}"
        stopped = make_job(dataset, run, slots=slots, **settings)
        storage.write_text(RunPaths(stopped.run).stop, "as a driver does that is told to end")
        ends = end_slots(stopped, slots)
        assert [end.exit_code for end in ends] == [SlotExit.STOPPED] * slots
        left = Checkpoints(RunPaths(stopped.run).checkpoints).latest()
        assert left is not None
        assert left.progress.position.step > 0
        assert ends[0].outcome == f"stopped as asked; a checkpoint holds everything up to {left.progress.position}"
        storage.delete(RunPaths(stopped.run).stop)
        resumed = make_job(dataset, run, slots=later, resume=True, **settings)
        result = run_slots(resumed, later)
        assert result.resumed_from == [left.progress.position]
        assert largest_difference(undisturbed, resumed) <= 1e-8
        assert [epoch.loss for epoch in result.epochs] == pytest.approx([epoch.loss for epoch in expected.epochs], rel=1e-8)
        assert [epoch.images for epoch in result.epochs] == [97, 97]
        assert set(seen(resumed.run).scalars["loss/training"]) == {1, 2}
        assert str(audit.check(resumed.run, 2)) == "each of 97 ids exactly once in each of 2 epochs"
        assert audit.read_epoch(resumed.run, 1)["step"].to_pylist() == audit.read_epoch(undisturbed.run, 1)["step"].to_pylist()
        assert set(audit.read_epoch(resumed.run, 2)["slot"].to_pylist()) == set(range(later))


def test_a_checkpoint_that_cannot_be_written_is_said(dataset: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoints").write_text("in the way")
    (end,) = end_slots(make_job(dataset, run, epochs=2), 1)
    assert end.exit_code == SlotExit.FAILED
    assert end.outcome is not None
    assert end.outcome.startswith("The checkpoint could not be written: ")
    assert "--resume" in end.outcome


def test_training_ends_early_without_a_better_validation_loss(dataset: str, tmp_path: Path) -> None:
    settings = {"epochs": 9, "patience": 2, "learning_rate": 0.01}
    results = [run_slots(make_job(dataset, tmp_path / f"run-{slots}", slots=slots, **settings), slots) for slots in (1, 2)]
    for result in results:
        losses = [epoch.validation_loss for epoch in result.epochs]
        assert len(losses) < 9
        assert result.best_epoch == len(losses) - 2 == losses.index(min(losses)) + 1
    assert len(results[0].epochs) == len(results[1].epochs)


def test_a_run_from_before_a_setting_was_there_goes_on_with_its_default(tmp_path: Path) -> None:
    job = make_job("data", tmp_path / "run")
    settings = {name: value for name, value in fixed_settings(job).items() if name != "train_on"}
    progress = Progress(history=[], settings=settings, dataset_fingerprint="f")
    check_resumable(progress, job, "f")
    with pytest.raises(UsageError, match=r"--train-on train\+validation.*--train-on train, as the run began"):
        check_resumable(progress, make_job("data", tmp_path / "run", train_on="train+validation"), "f")


def test_a_resumed_run_keeps_its_settings_but_may_lower_its_rate(dataset: str, tmp_path: Path) -> None:
    first = make_job(dataset, tmp_path / "run", epochs=1)
    run_slots(first, 1)
    before = last_weights(first)
    (end,) = end_slots(make_job(dataset, tmp_path / "run", resume=True, batch_size=16), 1)
    assert end.exit_code == SlotExit.FAILED
    assert end.outcome == "A resumed run keeps its settings. Received: --batch-size 16. Accepted: --batch-size 24, as the run began."
    slower = make_job(dataset, tmp_path / "run", resume=True, learning_rate=1e-9)
    result = run_slots(slower, 1)
    assert result.epochs[1].learning_rate == 1e-9
    moved = max(float(np.abs(one - two).max()) for one, two in zip(before[:1], last_weights(slower)[:1], strict=True))
    assert 0 < moved < 1e-6
