"""TensorFlow's collective operations: sums of processes over the network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import tensorflow as tf

ONE_TRIP_BYTES = 1 << 14
"""Up to so many bytes a sum takes one trip around the ring, with all that each process has, and above two with parts of it."""


@dataclass(frozen=True)
class Network:
    """A group of processes of one cluster; in all of them the same sums are traced in the same order.

    Args:
        group: its number, which the strategy and other groups do not have.
        size: how many they are.
        communication: how TensorFlow sums: `ring` or `nccl`.
    """

    group: int
    size: int
    communication: str
    _keys: Iterator[int] = field(default_factory=lambda: itertools.count(1), init=False, repr=False)

    def sums(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The sums of tensors of one dtype, which take their trip together; else like `sum`."""
        if len(values) == 1:
            return [self.sum(values[0])]
        summed = self.sum(tf.concat([tf.reshape(value, [-1]) for value in values], 0))
        parts = tf.split(summed, [value.shape.num_elements() for value in values])
        return [tf.reshape(part, value.shape) for part, value in zip(parts, values, strict=True)]

    def sum(self, value: tf.Tensor) -> tf.Tensor:
        """The sum of a tensor over the group, the same bits in each process.

        A trip of few bytes costs its latency, so small tensors go around once and each process adds all of them up, in their order.

        The operation has the number of its place in the order of tracing. The strategy's own `all_reduce` has a new one in every call,
        and TensorFlow keeps 1.5 kB for each number until the process ends (https://github.com/tensorflow/tensorflow/issues/42616).
        """
        place = {
            "group_size": self.size, "group_key": self.group, "instance_key": next(self._keys),
            "ordering_token": [variable.handle for variable in self._order], "communication_hint": self.communication,
        }  # fmt: skip
        if self.communication == "ring" and value.shape.is_fully_defined() and value.shape.num_elements() * value.dtype.size <= ONE_TRIP_BYTES:
            gathered = self._begin(lambda own: tf.raw_ops.CollectiveGatherV2(input=own, **place), value[None])
            return tf.reduce_sum(tf.ensure_shape(gathered, [self.size, *value.shape]), 0)
        reduced = self._begin(lambda own: tf.raw_ops.CollectiveReduceV2(input=own, merge_op="Add", final_op="Id", **place), value)
        return tf.ensure_shape(reduced, value.shape)

    def _begin(self, operation: Callable[[tf.Tensor], tf.Tensor], value: tf.Tensor) -> tf.Tensor:
        """One after the other where there is an order, and else as soon as the value is known.

        TensorFlow runs operations with side effects in the order in which they were traced, each after the end of the one before.
        It does not look into a function that is called as one without.
        """
        if self._order:
            return operation(value)
        function = tf.function(operation, autograph=False).get_concrete_function(tf.TensorSpec(value.shape, value.dtype))
        (result,) = tf.raw_ops.PartitionedCall(args=[value], Tout=[function.outputs[0].dtype], f=function)
        return result

    @cached_property
    def _order(self) -> list[tf.Variable]:
        """What every sum takes hold of, so that all processes do them one after the other, as NCCL wants it; nothing where they may
        overlap, for a ring tells them apart by their numbers.
        """
        if self.communication == "ring":
            return []
        with tf.init_scope():
            return [tf.Variable(0.0, trainable=False)]
