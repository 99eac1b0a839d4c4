"""TFLite, for phones and small devices: in float32, in float16, with weights in int8, and in whole numbers throughout.

https://ai.google.dev/edge/litert/models/post_training_quantization
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from slotwise.contracts.export import TensorRecord
from slotwise.conversion import saved_model
from slotwise.conversion.formats import Answers, Converted, Files, Pixels
from slotwise.conversion.original import Original
from slotwise.errors import DataError
from slotwise.settings.export import FormatName


def convert(name: FormatName, path: str, original: Original) -> Converted:
    """A file of which batch normalisation is folded into the layers before it, and dropout is gone."""
    # Only float32 can be quantized: there the converter itself makes the model take uint8.
    dtype = tf.float32 if name == "tflite_int8" else tf.uint8
    with tempfile.TemporaryDirectory(prefix="slotwise-export-") as scratch:
        saved_model.write(original, scratch, dtype)
        content = _converter(name, scratch, original.calibration).convert()
    takes, gives = _ends(_interpreter(content, 1))
    if (takes.dtype, takes.scale, takes.zero_point) != ("uint8", 1.0, 0):
        raise DataError(f"The converted model does not take pixels as they are: {takes}")
    return Converted({path: content}, takes, gives)


def _converter(name: FormatName, directory: str, calibration: Pixels) -> Any:
    """TensorFlow's converter of a SavedModel, set for a format."""
    converter = tf.lite.TFLiteConverter.from_saved_model(directory)
    if name != "tflite":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if name == "tflite_float16":
        converter.target_spec.supported_types = [tf.float16]
    if name == "tflite_int8":
        converter.representative_dataset = lambda: _calibration_images(calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    return converter


def load(path: str, files: Files, cores: int) -> Answers:
    interpreter = _interpreter(files[path], cores)
    _, gives = _ends(interpreter)
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    images = 0

    def answers(pixels: Pixels) -> np.ndarray:
        nonlocal images
        if len(pixels) != images:
            interpreter.resize_tensor_input(entry["index"], pixels.shape)
            interpreter.allocate_tensors()
            images = len(pixels)
        interpreter.set_tensor(entry["index"], pixels)
        interpreter.invoke()
        found = interpreter.get_tensor(end["index"])
        return found if gives.dtype == "float32" else (found.astype(np.float32) - gives.zero_point) * gives.scale

    return answers


def _calibration_images(images: Pixels) -> Iterator[list[np.ndarray]]:
    """Images one by one; the first gets a black and a white value, so that the range of the pixels is 0 to 255 and their scale 1."""
    stretched = images.astype(np.float32)
    stretched[0, 0, 0, 0], stretched[0, -1, -1, -1] = 0, 255
    for image in stretched:
        yield [image[None]]


def _interpreter(content: bytes, cores: int) -> Any:
    # The default resolver of operations brings XNNPACK along, also for those in int8.
    with warnings.catch_warnings():
        # Its successor is a package of its own; TensorFlow has both converter and interpreter as yet.
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=cores)
    interpreter.allocate_tensors()
    return interpreter


def _ends(interpreter: Any) -> tuple[TensorRecord, TensorRecord]:
    """What an interpreter's model takes and gives."""
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    return _tensor(entry), _tensor(end)


def _tensor(details: dict[str, Any]) -> TensorRecord:
    scale, zero_point = details["quantization"]
    shape = [None if size < 0 else int(size) for size in details["shape_signature"]]
    # A scale of zero is TFLite's word for a tensor that is not quantized.
    return TensorRecord(dtype=np.dtype(details["dtype"]).name, shape=shape, scale=float(scale) or 1.0, zero_point=int(zero_point))
