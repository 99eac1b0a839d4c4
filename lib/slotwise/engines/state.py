"""What a training changes: the model's weights and the optimizer's variables, taken out for a checkpoint and put back."""

from __future__ import annotations

import keras
import numpy as np

from slotwise import models
from slotwise.contracts.dataset import DatasetRecord
from slotwise.contracts.job import TrainingJob
from slotwise.engines.engine import Engine
from slotwise.engines.training_copy import training_copy
from slotwise.settings.train import TrainSettings
from slotwise.training.checkpoints import Arrays, Checkpoint, Progress


class TrainingState:
    """The plain model, its training copy and the optimizer, equal on all slots from the seed on."""

    def __init__(self, job: TrainingJob, record: DatasetRecord, engine: Engine) -> None:
        keras.utils.set_random_seed(job.settings.seed)
        self.plain = models.build(job.model, (*record.image_size, record.channels), len(record.classes), job.settings.model_parameters)
        self.model, self.context = training_copy(self.plain, engine.slots, engine.forms)
        self.optimizer = _optimizer(job.settings, engine)
        self.optimizer.build(self.model.trainable_variables)
        self._rate: float | None = None

    @property
    def parameters(self) -> int:
        return int(sum(np.prod(variable.shape) for variable in self.model.trainable_variables))

    def weights(self) -> Arrays:
        """Copies of the weights, in the plain model's order."""
        return [np.array(weight) for weight in self.model.get_weights()]

    def checkpoint(self, progress: Progress, fed: np.ndarray) -> Checkpoint:
        """A copy of everything, which training cannot change any more."""
        return Checkpoint(progress, self.weights(), [np.array(keras.ops.convert_to_numpy(variable)) for variable in self.optimizer.variables], fed)

    def restore(self, checkpoint: Checkpoint) -> None:
        self.model.set_weights(checkpoint.weights)
        for variable, value in zip(self.optimizer.variables, checkpoint.optimizer, strict=True):
            variable.assign(value)

    def set_learning_rate(self, rate: float) -> None:
        """Takes effect with the next step; a checkpoint's own rate does not matter, since settings and place decide it."""
        if rate != self._rate:
            self.optimizer.learning_rate = self._rate = rate


def _optimizer(settings: TrainSettings, engine: Engine) -> keras.Optimizer:
    if settings.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(settings.learning_rate, settings.momentum)
    else:
        optimizer = engine.adam(settings.learning_rate)
    return keras.optimizers.LossScaleOptimizer(optimizer) if settings.precision == "mixed_float16" else optimizer
