"""A run's model as the driver sees it: its bytes, and what its own description says, without loading TensorFlow."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

from slotwise import storage
from slotwise.contracts import run as runs
from slotwise.contracts.dataset import DatasetRecord
from slotwise.contracts.paths import RunPaths
from slotwise.contracts.run import RunRecord
from slotwise.errors import DataError, UsageError

_DESCRIPTION = "config.json"
# How Keras writes Python code into a model, which its safe mode does not run.
_PYTHON_CODE = "__lambda__"
_NAMED = 5


@dataclass(frozen=True)
class ModelFile:
    """A model that was trained on a prepared dataset.

    `image_shape` is that of the dataset's images, (height, width, channels): training builds a model for exactly them. Output i of
    the model is the probability of `record.class_names[i]`.
    """

    run: str
    record: RunRecord
    content: bytes
    image_shape: tuple[int, int, int]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def read(run: str) -> ModelFile:
    """The model of a finished run, with its checksums checked.

    Raises:
        UsageError: the run has no model, or one that is not of slotwise's kind.
        DataError: its file or the run's record is damaged.
    """
    uri = RunPaths(run).model
    if not (storage.exists(uri) and storage.exists(RunPaths(run).record)):
        raise UsageError("The run has no model", received=run, accepted="a finished run, with run.json and model.keras")
    record, content = runs.load(run), storage.read_bytes(uri)
    description = _description(uri, content)
    layers = description.get("config", {}).get("layers", [])
    return ModelFile(run, record, content, _image_shape(uri, layers, len(record.class_names)))


def check_fits(model: ModelFile, dataset: str, record: DatasetRecord) -> None:
    """Sees that a model knows the dataset's classes, by the same numbers, and takes its images.

    Raises:
        UsageError: it does not.
    """
    learned = model.record.class_names
    if learned != record.classes:
        parts = [f"{who} alone: {_list(names)}" for who, names in (("model", set(learned) - set(record.classes)), ("dataset", set(record.classes) - set(learned))) if names]
        what = "; ".join(parts) or "the same names in another order"
        raise UsageError(f"The classes of {model.run} are not those of {dataset}", received=what, accepted="a dataset with the classes that the run was trained on, in their order")
    shape = (*record.image_size, record.channels)
    if model.image_shape != shape:
        sizes = [f"{height}x{width}, {'grey' if channels == 1 else 'RGB'}" for height, width, channels in (shape, model.image_shape)]
        raise UsageError(f"The images of {dataset} do not fit the model of {model.run}", received=sizes[0], accepted=f"images of {sizes[1]}")


def _description(uri: str, content: bytes) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if damaged := archive.testzip():
                raise DataError(f"The model {uri} is damaged: {damaged} in it does not have its checksum")
            text = archive.read(_DESCRIPTION).decode()
        description = json.loads(text)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise DataError(f"The model {uri} is damaged, or no Keras file: {error}") from error
    if f'"{_PYTHON_CODE}"' in text:
        raise UsageError("The model holds Python code, which is not run", received=uri, accepted="a model without Lambda layers")
    return dict(description)


def _image_shape(uri: str, layers: list[dict[str, Any]], classes: int) -> tuple[int, int, int]:
    """The shape of the images, once it is seen that the model has an output for each class."""
    shapes = [layer["config"].get("batch_shape") for layer in layers if layer.get("class_name") == "InputLayer"]
    if len(shapes) != 1 or shapes[0] is None or len(shapes[0]) != 4 or None in shapes[0][1:] or shapes[0][3] not in (1, 3):
        raise UsageError("The model takes no images of one size", received=f"{uri}: inputs {shapes}", accepted="one input of height, width and 1 or 3 channels")
    outputs = layers[-1]["config"].get("units", classes)
    if outputs != classes:
        raise UsageError("The model has another number of outputs than its run has classes", received=f"{uri}: {outputs} outputs, {classes} classes", accepted="a model and a run that belong together")
    height, width, channels = shapes[0][1:]
    return height, width, channels


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names)[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
