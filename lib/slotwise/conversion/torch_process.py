"""The process that converts a Keras model to TorchScript; its last line of errors says why it could not.

    python -m slotwise.conversion.torch_process FORMAT MODEL_FILE CALIBRATION_FILE TARGET_FILE

https://docs.pytorch.org/docs/stable/quantization.html
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import keras
import numpy as np
import torch
from torch import fx, nn
from torch.ao import quantization
from torch.ao.quantization import quantize_fx
from torch.ao.quantization.fx.custom_config import PrepareCustomConfig

from slotwise.conversion.torch_graph import FromPixels, Rescaling, as_torch

_CALIBRATED_AT_A_TIME = 50


def main(name: str, model_file: str, calibration_file: str, target: str) -> None:
    """Batch normalisation is folded into the layers before it, and dropout is gone.

    Raises:
        DataError: the model has a layer that has no counterpart here.
    """
    # The successors of these tools need a further package, and a C++ compiler where the model runs.
    warnings.simplefilter("ignore", DeprecationWarning)
    plain = as_torch(keras.models.load_model(model_file, compile=False, safe_mode=True))
    calibration = torch.from_numpy(np.load(calibration_file))
    example = torch.zeros(2, *calibration.shape[1:], dtype=torch.uint8)
    if name == "torch_static":
        module: Any = _in_whole_numbers(plain, example, calibration)
    else:
        module = quantize_fx.fuse_fx(plain)
        if name == "torch_dynamic":
            module = quantization.quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)
    with torch.no_grad():
        torch.jit.save(torch.jit.freeze(torch.jit.trace(module, example).eval()), target)


def _in_whole_numbers(plain: fx.GraphModule, example: torch.Tensor, calibration: torch.Tensor) -> Any:
    """All in int8 but the pixels' rescaling and the softmax."""
    mapping = quantization.get_default_qconfig_mapping(torch.backends.quantized.engine).set_object_type(nn.Softmax, None)
    as_they_are = PrepareCustomConfig().set_non_traceable_module_classes([FromPixels, Rescaling])
    prepared = quantize_fx.prepare_fx(plain, mapping, (example,), as_they_are)
    with torch.no_grad():
        for batch in calibration.split(_CALIBRATED_AT_A_TIME):
            prepared(batch)
    return quantize_fx.convert_fx(prepared)


if __name__ == "__main__":
    main(*sys.argv[1:5])
