"""The models by name; a model is a function of image shape and class count that returns a plain Keras model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from slotwise.errors import UsageError

if TYPE_CHECKING:
    import keras

# Modules, not functions: naming the models must not import TensorFlow on the driver.
MODELS = {
    "covers": "slotwise.models.covers",
    "fashion": "slotwise.models.fashion",
    "simple": "slotwise.models.simple",
}

# Four poolings of an image smaller than this leave nothing to learn from.
_SMALLEST_FOR_COVERS = 48


def check(model: str) -> str:
    """The name itself, if there is such a model.

    Raises:
        UsageError: there is none.
    """
    if model not in MODELS:
        raise UsageError("There is no such model", received=f"--model {model}", accepted=", ".join(MODELS))
    return model


def default_for(image_size: tuple[int, int]) -> str:
    return "covers" if min(image_size) >= _SMALLEST_FOR_COVERS else "simple"


def build(model: str, image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A new plain Keras model from (height, width, channels) with 0 to 255 to class probabilities.

    Raises:
        UsageError: there is no such model.
    """
    built: keras.Model = importlib.import_module(MODELS[check(model)]).build(image_shape, classes)
    return built
