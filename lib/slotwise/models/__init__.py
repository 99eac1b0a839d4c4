"""The models by name; a model is a function of image shape and class count that returns a plain Keras model."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from slotwise.errors import UsageError
from slotwise.models.definition import Definition, find

if TYPE_CHECKING:
    import keras

NAMES = ("covers", "fashion", "leaf", "resnet18", "simple")

# Four poolings of an image smaller than this leave nothing to learn from.
_SMALLEST_FOR_COVERS = 48


def default_for(image_size: tuple[int, int]) -> str:
    return "covers" if min(image_size) >= _SMALLEST_FOR_COVERS else "simple"


def definition(model: str) -> Definition:
    """Where a model is defined, found without importing it: the driver must not load TensorFlow.

    Args:
        model: a name of slotwise's own, or `package.module:function` for a function of one's own.

    Raises:
        UsageError: there is no such model.
    """
    if ":" in model:
        module, _, function = model.partition(":")
        return find(module, function)
    if model not in NAMES:
        raise UsageError("There is no such model", received=f"--model {model}", accepted=f"{', '.join(NAMES)}, or package.module:function")
    return find(f"slotwise.models.{model}", "build")


def check(model: str, parameters: Mapping[str, Any]) -> Definition:
    """Where a model is defined, once it is seen that it takes these parameters.

    Raises:
        UsageError: there is no such model, or it has no such parameter.
    """
    found = definition(model)
    unknown = [name for name in parameters if name not in found.parameters]
    if unknown and not found.takes_any:
        accepted = ", ".join(found.parameters) or "none"
        raise UsageError(f"The model {model} has no such parameter", received=f"--model-parameters {unknown[0]}={parameters[unknown[0]]}", accepted=accepted)
    return found


def build(model: str, image_shape: tuple[int, int, int], classes: int, parameters: Mapping[str, Any]) -> keras.Model:
    """A new plain Keras model from (height, width, channels) with 0 to 255 to class probabilities.

    Raises:
        UsageError: there is no such model, it cannot be built like this, or its inputs and outputs are others.
    """
    import keras

    found = check(model, parameters)
    function = getattr(importlib.import_module(found.module), found.function)
    try:
        built = function(image_shape, classes, **parameters)
    except (TypeError, ValueError) as error:
        if ":" in model:  # one's own function: the place of its error is in the traceback
            raise
        raise UsageError(f"The model {model} cannot be built: {error}", received=f"images of {image_shape}, {dict(parameters)}", accepted="larger images, or other parameters") from error
    if not isinstance(built, keras.Model):
        raise UsageError(f"The function of model {model} returns no Keras model", received=type(built).__name__, accepted="a keras.Model")
    if (built.input_shape, built.output_shape) != ((None, *image_shape), (None, classes)):
        raise UsageError(
            f"The model {model} takes or gives other shapes than the dataset has",
            received=f"{built.input_shape} to {built.output_shape}",
            accepted=f"(None, {', '.join(map(str, image_shape))}) to (None, {classes})",
        )
    return built
