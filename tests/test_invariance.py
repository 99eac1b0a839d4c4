"""The promise itself: one model, whatever the number of slots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets import make_dataset
from slots import largest_difference, make_job, run_slots
from slotwise.contracts.job import TrainingJob
from slotwise.training import audit

LARGEST_WEIGHT_DIFFERENCE = 1e-8


def fed(job: TrainingJob, epoch: int) -> list[tuple[int, int, int]]:
    """What an epoch fed: step, shard and record, whatever the slot."""
    table = audit.read_epoch(job.run, epoch)
    return sorted(zip(*(table[name].to_pylist() for name in ("step", "shard", "record")), strict=True))


# 193 samples in 8 shards and 3 a shard and step: the last step has one sample, so all slots but one are without any.
# That `simple` on 2 slots is the same as on 1 is seen in test_survival.
@pytest.mark.parametrize(
    ("engine", "model", "image_size", "counts", "clusters"),
    [
        ("tensorflow", "simple", (32, 32), (193, 45, 45), [(0, 0, 0)]),
        ("tensorflow", "covers", (48, 40), (123, 30, 30), [(0, 0), (0, 0, 1)]),
        ("torch", "simple", (32, 32), (193, 45, 45), [(0, 0, 0)]),
        ("torch", "covers", (48, 40), (123, 30, 30), [(0, 0)]),
    ],
)
def test_any_number_of_slots_trains_the_same_model(
    engine: str, model: str, image_size: tuple[int, int], counts: tuple[int, int, int], clusters: list[tuple[int, ...]], tmp_path: Path
) -> None:
    """Each cluster is the host of each of its slots."""
    dataset = make_dataset(tmp_path / "dataset", image_size=image_size, counts=counts)
    settings = {"engine": engine, "model": model, "augment": ["flip", "rotate", "brightness"]}
    jobs = {len(hosts): make_job(dataset, tmp_path / f"run-{len(hosts)}", slots=len(hosts), **settings) for hosts in ((0,), *clusters)}
    results = {len(hosts): run_slots(jobs[len(hosts)], len(hosts), hosts) for hosts in ((0,), *clusters)}
    alone = results[1]
    assert [epoch.images for epoch in alone.epochs] == [counts[0]] * 2
    assert alone.test_images == counts[2]
    for count in map(len, clusters):
        difference = largest_difference(jobs[1], jobs[count])
        print(f"{engine}, {model}, {count} slots: largest weight difference {difference:.2e}")
        assert difference <= LARGEST_WEIGHT_DIFFERENCE
        assert all(fed(jobs[count], epoch) == fed(jobs[1], epoch) for epoch in (1, 2))
        for one, many in zip(alone.epochs, results[count].epochs, strict=True):
            assert one.gradient_norm
            assert (many.loss, many.validation_loss, many.gradient_norm) == pytest.approx((one.loss, one.validation_loss, one.gradient_norm), rel=1e-8)
            assert (many.accuracy, many.validation_accuracy, many.images) == (one.accuracy, one.validation_accuracy, one.images)
        assert results[count].test_loss == pytest.approx(alone.test_loss, rel=1e-8)
        assert (results[count].test_accuracy, results[count].test_images) == (alone.test_accuracy, alone.test_images)


@pytest.mark.parametrize(
    ("engine", "precision", "tolerance"),
    [
        ("tensorflow", "float32", 0.02),
        ("tensorflow", "mixed_bfloat16", 0.1),
        ("tensorflow", "mixed_float16", 0.1),
        ("torch", "mixed_bfloat16", 0.1),
    ],
)
def test_every_precision_trains(engine: str, precision: str, tolerance: float, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", counts=(97, 16, 16))
    losses = {}
    for slots in (1, 2):
        result = run_slots(make_job(dataset, tmp_path / f"run-{slots}", slots=slots, engine=engine, precision=precision, epochs=1), slots)
        assert np.isfinite([result.epochs[0].loss, result.epochs[0].validation_loss, result.test_loss]).all()
        assert result.epochs[0].images == 97
        assert 0 < result.epochs[0].gradient_norm < 1000  # a scaled loss's is thousands of times as large
        losses[slots] = result.epochs[0].loss
    print(f"{engine}, {precision}: loss {losses}")
    assert losses[2] == pytest.approx(losses[1], rel=tolerance)
