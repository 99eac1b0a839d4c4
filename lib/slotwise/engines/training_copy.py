"""The copy of a plain Keras model that is trained: layers whose result must not depend on the number of slots are swapped.

The weights are those of the standard layers, so a trained model is saved as the plain Keras model it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras

from slotwise.engines import arithmetic
from slotwise.engines.engine import Forms
from slotwise.errors import UsageError

# Of the hash that draws dropout masks, so that every engine draws the same.
HASH_MULTIPLIERS = (0x7FEB352D, 0x846CA68B)

_CONVOLUTION_AND_NORMALISATION = {keras.layers.Conv2D, keras.layers.BatchNormalization}


class SlotContext:
    """What swapped layers need of the step they are called in: the slots, and the keys of the local samples (int64 [b]).

    A slot that has no sample in a step takes part with a stand-in, whose key is `NO_SAMPLE`.
    """

    def __init__(self, slots: Any) -> None:
        self.slots = slots
        self.keys: Any = None

    @contextmanager
    def samples(self, keys: Any) -> Iterator[None]:
        self.keys = keys
        try:
            yield
        finally:
            self.keys = None


@dataclass(frozen=True)
class Pooling:
    """A two-dimensional max pooling that a batch normalisation does itself; sizes and strides are (rows, columns)."""

    size: tuple[int, int]
    strides: tuple[int, int]
    padding: str

    def output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(keras.layers.MaxPooling2D(self.size, self.strides, self.padding).compute_output_shape(input_shape))


def training_copy(model: keras.Model, slots: Any, forms: Forms) -> tuple[keras.Model, SlotContext]:
    """A copy of a plain model for training on slots, with its final softmax left off (it gives logits).

    `copy.get_weights()` and `model.set_weights()` have the same order.

    Args:
        model: as `slotwise.models.build` gives it.
        slots: the engine's.
        forms: the engine's; each gets the copy's `context`, and one of dropout its `number` from 1.

    Raises:
        UsageError: the model does not end in a softmax, normalises over another axis than the last, or has a layer that
            draws random numbers of its own, which would depend on the slots.
    """
    context = SlotContext(slots)
    last = _softmax_end(model)
    # An engine whose batch normalisation can pool is spared most of its work.
    poolings = _poolings(model) if hasattr(forms.get(keras.layers.BatchNormalization), "pooling") else {}
    moved = {id(pooling) for pooling in poolings.values()}
    givers, takers = _kept_in_float32(model) if hasattr(forms.get(keras.layers.Conv2D), "gives_float32") else (set(), set())
    count = 0

    def swap(layer: keras.layers.Layer) -> keras.layers.Layer:
        nonlocal count
        config = layer.get_config()
        if layer is last:
            return type(layer).from_config({**config, "activation": "linear"})
        _check(layer)
        if id(layer) in moved:
            swapped: Any = keras.layers.Identity(name=layer.name, dtype=layer.dtype_policy)
        else:
            swapped = forms.get(type(layer), type(layer)).from_config(config)
        if type(layer) in forms:
            swapped.context = context
        if id(layer) in poolings:
            pooling = poolings[id(layer)]
            swapped.pooling = Pooling(pooling.pool_size, pooling.strides, pooling.padding)
        if id(layer) in givers:
            swapped.gives_float32 = True
        if id(layer) in takers:
            swapped.autocast = False
        if type(layer) is keras.layers.Dropout:
            swapped.number = count = count + 1
        return swapped

    copy = keras.models.clone_model(model, clone_function=swap, recursive=True)
    copy.set_weights(model.get_weights())
    return copy, context


def _poolings(model: keras.Model) -> dict[int, keras.layers.MaxPooling2D]:
    """The max pooling after each batch normalisation that feeds nothing else, by its id; a rectifier between them commutes with a maximum."""
    found = {}
    for layer in model._flatten_layers(include_self=False):
        if type(layer) is keras.layers.BatchNormalization:
            follower = _only_follower(layer)
            if follower is not None and _is_relu(follower):
                follower = _only_follower(follower)
            if isinstance(follower, keras.layers.MaxPooling2D) and follower.data_format == "channels_last":
                found[id(layer)] = follower
    return found


def _kept_in_float32(model: keras.Model) -> tuple[set[int], set[int]]:
    """Ids of the layers that may give 16-bit numbers in float32, and of those that then take them so.

    Where convolutions compute in float32, for 16 bits are slower, nothing between them and the normalisations next to them is narrowed and widened again.
    """
    givers: set[int] = set()
    takers: set[int] = set()
    for layer in model._flatten_layers(include_self=False):
        after = [_only_follower(layer)]
        while after[-1] is not None and _selects(after[-1]):
            after.append(_only_follower(after[-1]))
        are_alike = all(each is not None and each.compute_dtype == layer.compute_dtype for each in after)
        if {type(layer), type(after[-1])} == _CONVOLUTION_AND_NORMALISATION and are_alike and arithmetic.is_slow(layer.compute_dtype):
            givers.add(id(layer))
            takers.update(id(each) for each in after)
    return givers, takers


def _only_follower(layer: keras.layers.Layer) -> keras.layers.Layer | None:
    """The layer that takes all that a layer gives and nothing else, if there is one."""
    followers = {id(node.operation): node.operation for node in layer._outbound_nodes}
    if len(followers) != 1:
        return None
    (follower,) = followers.values()
    return follower if all(parent.operation is layer for node in follower._inbound_nodes for parent in node.parent_nodes) else None


def _selects(layer: keras.layers.Layer) -> bool:
    """Whether a layer gives some of its numbers as they are, so that none has more digits than before."""
    return type(layer) is keras.layers.MaxPooling2D or (_is_relu(layer) and not getattr(layer, "negative_slope", 0.0))


def _is_relu(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a rectifier, all of which increase."""
    return type(layer) in (keras.layers.ReLU, keras.layers.LeakyReLU) or (
        type(layer) is keras.layers.Activation and layer.activation is keras.activations.relu
    )


def _softmax_end(model: keras.Model) -> keras.layers.Layer:
    last = model.layers[-1]
    if getattr(last, "activation", None) is not keras.activations.softmax:
        raise UsageError("A model has to end in a softmax", received=f"last layer {last.name} ({type(last).__name__})", accepted="a last layer with activation='softmax'")
    return last


def _check(layer: keras.layers.Layer) -> None:
    if type(layer) is keras.layers.BatchNormalization:
        if layer.axis not in (-1, layer.input_spec.ndim - 1):
            raise UsageError("Only batch normalisation over the last axis is supported", received=f"axis={layer.axis} in {layer.name}", accepted="axis=-1")
    elif type(layer) is not keras.layers.Dropout and _draws_at_random(layer):
        raise UsageError(
            "A layer that draws random numbers would draw others on each slot", received=f"{layer.name} ({type(layer).__name__})", accepted="Dropout; changes of images by --augment"
        )


def _draws_at_random(layer: keras.layers.Layer) -> bool:
    return any(isinstance(value, keras.random.SeedGenerator) for value in vars(layer).values())
