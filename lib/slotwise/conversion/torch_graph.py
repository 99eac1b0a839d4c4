"""A Keras model of standard layers as a graph of PyTorch's own modules, which PyTorch's quantization knows."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch
from keras import layers
from torch import fx, nn

from slotwise.errors import DataError


class FromPixels(nn.Module):
    """uint8 [b, height, width, channels] as float32 [b, channels, height, width], in the layout `channels_last` without a copy."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.permute(0, 3, 1, 2).float()


class Rescaling(nn.Module):
    """Keras's layer of that name."""

    def __init__(self, scale: float, offset: float) -> None:
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.offset


class Flatten(nn.Module):
    """[b, channels, height, width] as [b, n], in Keras's order of height, width, channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def as_torch(model: keras.Model) -> fx.GraphModule:
    """The model with its weights, for inference: pixels as uint8 [b, height, width, channels] in, its outputs out.

    Raises:
        DataError: it has a layer that has no counterpart here.
    """
    root, graph = nn.Module(), fx.Graph()
    nodes: dict[int, fx.Node] = {}
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            modules: list[nn.Module] = [FromPixels()]
            node = graph.placeholder("pixels")
        elif isinstance(layer, layers.Add):
            modules = []
            first, *others = (nodes[id(tensor)] for tensor in layer.input)
            node = first
            for other in others:
                node = graph.call_function(operator.add, (node, other))
        else:
            modules, node = _counterpart(layer), nodes[id(layer.input)]
        for number, module in enumerate(modules):
            name = f"{layer.name}_{number}"
            root.add_module(name, module)
            node = graph.call_module(name, (node,))
        nodes[id(layer.output)] = node
    graph.output(nodes[id(model.outputs[0])])
    return fx.GraphModule(root, graph).eval()


def _counterpart(layer: keras.layers.Layer) -> list[nn.Module]:
    make = _COUNTERPARTS.get(type(layer))
    if make is None:
        known = ", ".join(sorted(kind.__name__ for kind in (*_COUNTERPARTS, layers.Add)))
        raise DataError(f"the layer {layer.name} ({type(layer).__name__}) has no counterpart in PyTorch here; those that have: {known}")
    return make(layer)


def _activation(layer: Any) -> list[nn.Module]:
    known: dict[Any, list[nn.Module]] = {
        keras.activations.linear: [],
        keras.activations.relu: [nn.ReLU()],
        keras.activations.softmax: [nn.Softmax(1)],
    }
    if layer.activation not in known:
        raise DataError(f"the activation of the layer {layer.name} has no counterpart in PyTorch here; those that have: linear, relu, softmax")
    return known[layer.activation]


def _relu(layer: Any) -> list[nn.Module]:
    if layer.max_value is not None or layer.negative_slope or layer.threshold:
        raise DataError(f"the layer {layer.name} is no plain ReLU")
    return [nn.ReLU()]


def _convolution(layer: Any) -> list[nn.Module]:
    kernel, *bias = layer.get_weights()
    around = _padding(layer, layer.kernel_size, layer.strides, layer.dilation_rate)
    (top, bottom), (left, right) = around
    is_even = all(before == after for before, after in around)
    inputs = int(layer.input.shape[-1])
    module = nn.Conv2d(
        inputs, layer.filters, layer.kernel_size, layer.strides, (top, left) if is_even else 0, layer.dilation_rate, layer.groups, bool(bias)
    )  # fmt: skip
    _set(module, weight=kernel.transpose(3, 2, 0, 1), **({"bias": bias[0]} if bias else {}))
    return [*([] if is_even else [nn.ZeroPad2d((left, right, top, bottom))]), module, *_activation(layer)]


def _pooling(layer: Any) -> list[nn.Module]:
    around = _padding(layer, layer.pool_size, layer.strides, (1, 1))
    if any(before not in (0, after) for before, after in around):
        raise DataError(f"the layer {layer.name} pads in a way that PyTorch's pooling does not")
    # Where only the end is padded, a last window that begins within the image is what Keras has.
    return [nn.MaxPool2d(layer.pool_size, layer.strides, tuple(before for before, _ in around), ceil_mode=any(before != after for before, after in around))]


def _dense(layer: Any) -> list[nn.Module]:
    kernel, *bias = layer.get_weights()
    inputs, outputs = kernel.shape
    module = nn.Linear(inputs, outputs, bias=bool(bias))
    _set(module, weight=kernel.T, **({"bias": bias[0]} if bias else {}))
    return [module, *_activation(layer)]


def _normalisation(layer: Any) -> list[nn.Module]:
    kind = nn.BatchNorm2d if len(layer.input.shape) == 4 else nn.BatchNorm1d
    module = kind(int(layer.input.shape[-1]), eps=layer.epsilon)
    given = {"weight": layer.gamma, "bias": layer.beta, "running_mean": layer.moving_mean, "running_var": layer.moving_variance}
    _set(module, **{name: keras.ops.convert_to_numpy(variable) for name, variable in given.items() if variable is not None})
    return [module]


_COUNTERPARTS: dict[type, Callable[[Any], list[nn.Module]]] = {
    layers.Rescaling: lambda layer: [Rescaling(layer.scale, layer.offset)],
    layers.Conv2D: _convolution,
    layers.BatchNormalization: _normalisation,
    layers.MaxPooling2D: _pooling,
    layers.ReLU: _relu,
    layers.Activation: _activation,
    layers.Dense: _dense,
    layers.Flatten: lambda layer: [Flatten()] if len(layer.input.shape) == 4 else [nn.Flatten()],
    layers.GlobalAveragePooling2D: lambda layer: [nn.AdaptiveAvgPool2d(1), nn.Flatten()],
    layers.Dropout: lambda layer: [],
}


def _padding(layer: Any, kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int]) -> list[tuple[int, int]]:
    """Rows, and columns, that the layer adds before and after."""
    if layer.padding == "valid":
        return [(0, 0), (0, 0)]
    missing = [
        max((-(-size // stride) - 1) * stride + (length - 1) * rate + 1 - size, 0)
        for size, length, stride, rate in zip(layer.input.shape[1:3], kernel, strides, dilation, strict=True)
    ]
    return [(number // 2, number - number // 2) for number in missing]


def _set(module: nn.Module, **values: np.ndarray) -> None:
    with torch.no_grad():
        for name, value in values.items():
            getattr(module, name).copy_(torch.from_numpy(np.ascontiguousarray(value)))
