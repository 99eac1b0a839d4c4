"""The learning rate of each step: pure arithmetic over settings and place in the training, so that a resumed run goes on with it."""

from __future__ import annotations

import math

from slotwise.settings.training import TrainingSettings

DEFAULT_DECAY_RATE = 0.96


def learning_rate(settings: TrainingSettings, epoch: int, step: int, steps: int) -> float:
    """The rate of one step.

    `constant` stays; `exponential` multiplies by `decay_rate` over an epoch, evenly from step to step; `cosine` goes down
    to 0 along half a cosine (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, without restarts). A warm-up
    rises evenly from 0 before (Goyal et al. 2017, https://arxiv.org/abs/1706.02677).

    Args:
        epoch, step: from 0.
        steps: of an epoch.
    """
    done = epoch + step / steps
    if done < settings.warmup_epochs:
        # The first step counts as one that is over: a rate of 0 would waste it.
        return settings.learning_rate * (done + 1 / steps) / (settings.warmup_epochs + 1 / steps)
    done -= settings.warmup_epochs
    if settings.schedule == "exponential":
        return settings.learning_rate * (settings.decay_rate or DEFAULT_DECAY_RATE) ** done
    if settings.schedule == "cosine":
        return settings.learning_rate * (1 + math.cos(math.pi * done / (settings.epochs - settings.warmup_epochs))) / 2
    return settings.learning_rate
