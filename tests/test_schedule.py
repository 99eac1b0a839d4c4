"""The learning rate of each step, as the papers give it, and alike wherever a run is resumed."""

from __future__ import annotations

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotwise.settings.train import TrainSettings
from slotwise.training.schedule import learning_rate


def rates(steps: int = 10, **settings: object) -> list[float]:
    chosen = TrainSettings.model_validate({"learning_rate": 0.5, "epochs": 4, **settings})
    return [learning_rate(chosen, epoch, step, steps) for epoch in range(4) for step in range(steps)]


def test_constant_stays() -> None:
    assert set(rates()) == {0.5}


def test_exponential_is_that_of_keras_with_an_epoch_as_decay_steps() -> None:
    theirs = keras.optimizers.schedules.ExponentialDecay(0.5, decay_steps=10, decay_rate=0.9)
    assert rates(schedule="exponential", decay_rate=0.9) == pytest.approx([float(theirs(step)) for step in range(40)], rel=1e-5)


def test_cosine_is_that_of_keras_down_to_the_last_step() -> None:
    theirs = keras.optimizers.schedules.CosineDecay(0.5, decay_steps=40)
    assert rates(schedule="cosine") == pytest.approx([float(theirs(step)) for step in range(40)], rel=1e-4, abs=1e-6)


def test_a_warm_up_rises_evenly_to_the_rate_and_then_the_schedule_begins() -> None:
    found = rates(schedule="cosine", warmup_epochs=1.5)
    rises = [after - before for before, after in zip([0.0, *found[:15]], found[:16], strict=True)]
    assert rises == pytest.approx([0.5 / 16] * 16)
    assert found[15] == 0.5
    assert sorted(found[15:], reverse=True) == found[15:]


@given(
    st.sampled_from(["constant", "exponential", "cosine"]), st.floats(0, 3.9), st.integers(1, 200), st.integers(0, 3), st.data(),
)  # fmt: skip
def test_every_step_has_a_rate_above_zero_and_at_most_the_one_asked_for(schedule: str, warmup: float, steps: int, epoch: int, data: st.DataObject) -> None:
    settings = TrainSettings.model_validate({"learning_rate": 0.5, "epochs": 4, "schedule": schedule, "warmup_epochs": warmup})
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < learning_rate(settings, epoch, step, steps) <= 0.5 * (1 + 1e-12)
