"""Passes over images made one loop by XLA, where that is worth the tenth of a second that it takes to compile one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import tensorflow as tf


def is_worth_compiling(x: tf.Tensor, least: int) -> bool:
    """Whether XLA is to compile what passes over `x`, [b, ...]: where a sample has so many values, on CPUs, for on GPUs it wants NVIDIA's compiler
    at hand, which TensorFlow does not bring.
    """
    return (x.shape[1:].num_elements() or 0) >= least and not tf.config.list_physical_devices("GPU")


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function compiled by XLA."""
    return tf.function(function, jit_compile=True, autograph=False)


def one_loop(least: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Has XLA compile a function where its first argument has so many values in each sample."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def choose(x: tf.Tensor, *others: Any) -> Any:
            return (compiled(function) if is_worth_compiling(x, least) else function)(x, *others)

        return choose

    return decorate
