"""TorchScript, in float32, with weights of dense layers in int8 (dynamic), and in whole numbers calibrated on images (static).

https://docs.pytorch.org/docs/stable/quantization.html
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.ao import quantization
from torch.ao.quantization import quantize_fx
from torch.ao.quantization.fx.custom_config import PrepareCustomConfig

from slotwise.conversion.formats import Answers, Converted, Files, Pixels
from slotwise.conversion.original import Original
from slotwise.conversion.torch_graph import FromPixels, Rescaling, as_torch
from slotwise.settings.export import FormatName

# PyTorch's own successors of these tools need another package and a C++ compiler where the model runs.
warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\..*|slotwise\.conversion\.torch")


def convert(name: FormatName, path: str, original: Original) -> Converted:
    """A file for `torch.jit.load`, of which batch normalisation is folded into the layers before it, and dropout is gone."""
    plain = as_torch(original.in_float32)
    example = torch.zeros(2, *original.image_shape, dtype=torch.uint8)
    if name == "torch_static":
        module: Any = _in_whole_numbers(plain, example, torch.from_numpy(original.calibration))
    else:
        module = quantize_fx.fuse_fx(plain)
        if name == "torch_dynamic":
            module = quantization.quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)
    content = io.BytesIO()
    with torch.inference_mode():
        torch.jit.save(torch.jit.freeze(torch.jit.trace(module, example).eval()), content)
    return Converted({path: content.getvalue()})


def load(path: str, files: Files, cores: int) -> Answers:
    torch.set_num_threads(cores)
    module = torch.jit.load(io.BytesIO(files[path]))

    def answers(pixels: Pixels) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(pixels)).numpy())

    return answers


def _in_whole_numbers(plain: fx.GraphModule, example: torch.Tensor, calibration: torch.Tensor) -> Any:
    """All in int8 but the pixels' rescaling and the softmax."""
    mapping = quantization.get_default_qconfig_mapping(torch.backends.quantized.engine).set_object_type(nn.Softmax, None)
    as_they_are = PrepareCustomConfig().set_non_traceable_module_classes([FromPixels, Rescaling])
    prepared = quantize_fx.prepare_fx(plain, mapping, (example,), as_they_are)
    with torch.inference_mode():
        for batch in calibration.split(50):
            prepared(batch)
    return quantize_fx.convert_fx(prepared)
