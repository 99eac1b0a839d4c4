"""TensorFlow's SavedModel: for TensorFlow Serving and whatever else loads one."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from slotwise.conversion.formats import Answers, Converted, Files, Pixels
from slotwise.conversion.original import Original
from slotwise.settings.export import FormatName


def convert(name: FormatName, path: str, original: Original) -> Converted:
    """A directory whose signature `serving_default` is `Original.serving`."""
    with tempfile.TemporaryDirectory(prefix="slotwise-export-") as scratch:
        write(original, scratch)
        found = sorted(file for file in Path(scratch).rglob("*") if file.is_file())
        return Converted({f"{path}/{file.relative_to(scratch).as_posix()}": file.read_bytes() for file in found})


def write(original: Original, directory: str, dtype: tf.DType = tf.uint8) -> None:
    """Writes a SavedModel of `Original.serving` into an empty directory."""
    module = tf.Module()
    module.weights = [variable.value for variable in original.in_float32.weights]
    tf.saved_model.save(module, directory, signatures=original.serving(dtype))


def load(path: str, files: Files, cores: int) -> Answers:
    with tempfile.TemporaryDirectory(prefix="slotwise-export-") as scratch:
        for name, content in files.items():
            target = Path(scratch, os.path.relpath(name, path))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return partial(_answers, tf.saved_model.load(scratch))


def _answers(loaded: Any, pixels: Pixels) -> np.ndarray:
    # By way of the whole, because a signature does not keep its weights.
    return np.asarray(loaded.signatures["serving_default"](image=tf.constant(pixels))["probabilities"].numpy())
