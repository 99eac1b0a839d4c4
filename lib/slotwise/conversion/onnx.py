"""ONNX by tf2onnx (https://github.com/onnx/tensorflow-onnx), for ONNX Runtime and whatever else reads it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx

from slotwise.conversion.formats import Answers, Converted, Files, Pixels
from slotwise.conversion.original import Original
from slotwise.settings.export import FormatName


def convert(name: FormatName, path: str, original: Original) -> Converted:
    """A file that takes `image` and gives `probabilities`."""
    spec = tf.TensorSpec([None, *original.image_shape], tf.uint8, name="image")
    with tempfile.TemporaryDirectory(prefix="slotwise-export-") as scratch:
        local = os.path.join(scratch, path)
        tf2onnx.convert.from_function(original.serving(), input_signature=[spec], output_path=local)
        return Converted({path: Path(local).read_bytes()})


def load(path: str, files: Files, cores: int) -> Answers:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    session = onnxruntime.InferenceSession(files[path], options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()

    def answers(pixels: Pixels) -> np.ndarray:
        (found,) = session.run(None, {entry.name: pixels})
        return np.asarray(found)

    return answers
