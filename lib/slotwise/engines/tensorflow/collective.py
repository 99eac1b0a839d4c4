"""The slots of a training joined by TensorFlow's collective operations."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import tensorflow as tf

ONE_TRIP_BYTES = 1 << 14
"""Up to so many bytes a sum takes one trip around the ring, with all that each slot has, and above two with parts of it."""

# The strategy numbers its own groups from 1.
_GROUP = 1_000


@dataclass(frozen=True)
class Slots:
    """This process among the others: slot `rank` of `count`."""

    rank: int
    count: int
    strategy: tf.distribute.Strategy
    communication: str = "ring"
    """How TensorFlow sums: `ring` or `nccl`."""
    _keys: Iterator[int] = field(default_factory=lambda: itertools.count(1), init=False, repr=False)

    @property
    def is_chief(self) -> bool:
        return self.rank == 0

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls `function` where `sum` may be used."""
        return self.strategy.run(function, args=arguments) if self.count > 1 else function(*arguments)

    def sum(self, value: tf.Tensor) -> tf.Tensor:
        """The sum of a tensor over all slots, the same bits on each; only inside `run`, in what is traced.

        A trip of few bytes costs its latency, so small tensors go around once and each slot adds all of them up, in the order of slots.

        The operation has the number of its place in the order of tracing, which is the same on all slots. The strategy's own
        `all_reduce` has a new one in every call, and TensorFlow keeps 1.5 kB for each number until the process ends
        (https://github.com/tensorflow/tensorflow/issues/42616).
        """
        if self.count == 1:
            return value
        place = {
            "group_size": self.count, "group_key": _GROUP, "instance_key": next(self._keys),
            "ordering_token": [variable.handle for variable in self._order], "communication_hint": self.communication,
        }  # fmt: skip
        if self.communication == "ring" and value.shape.is_fully_defined() and value.shape.num_elements() * value.dtype.size <= ONE_TRIP_BYTES:
            gathered = self._begun_when_ready(lambda own: tf.raw_ops.CollectiveGatherV2(input=own, **place), value[None])
            return tf.reduce_sum(tf.ensure_shape(gathered, [self.count, *value.shape]), 0)
        reduced = self._begun_when_ready(lambda own: tf.raw_ops.CollectiveReduceV2(input=own, merge_op="Add", final_op="Id", **place), value)
        return tf.ensure_shape(reduced, value.shape)

    def _begun_when_ready(self, operation: Callable[[tf.Tensor], tf.Tensor], value: tf.Tensor) -> tf.Tensor:
        """Begins a collective operation once its input is known, whichever were written before it.

        TensorFlow runs operations with side effects in the order in which they were traced, each after the end of the one before, and takes these
        for such. It does not look into a function that is called as one without. NCCL wants one order on all slots.
        """
        if self._order:
            return operation(value)
        function = tf.function(operation, autograph=False).get_concrete_function(tf.TensorSpec(value.shape, value.dtype))
        (result,) = tf.raw_ops.PartitionedCall(args=[value], Tout=[value.dtype], f=function)
        return result

    def summed(self, value: tf.Tensor) -> tf.Tensor:
        """The sum of a tensor over all slots, called from plain Python."""
        summed: tf.Tensor = self._traced_sum(value)
        return summed

    def total(self, numbers: Sequence[float]) -> list[float]:
        """The sums of a few numbers over all slots."""
        totals: list[float] = self.summed(tf.constant(numbers, tf.float64)).numpy().tolist()
        return totals

    def part(self) -> None:
        """Waits until the other slots have all their results too: who leaves earlier closes a connection that they still read from.

        Whoever misses this last sum has missed nothing, so its failure is none.
        """
        with suppress(tf.errors.OpError):
            self.summed(tf.ones([]))

    @cached_property
    def _order(self) -> list[tf.Variable]:
        """What every sum takes hold of, so that all slots do them one after the other; nothing where they may overlap, for a ring
        tells them apart by their numbers.
        """
        if self.communication == "ring":
            return []
        with tf.init_scope():
            return [tf.Variable(0.0, trainable=False)]

    @cached_property
    def _traced_sum(self) -> Callable[[tf.Tensor], tf.Tensor]:
        return tf.function(lambda value: self.run(self.sum, value), autograph=False)


def connect(timeout_seconds: int) -> Slots:
    """Joins the cluster that `TF_CONFIG` describes.

    TensorFlow waits for absent peers without limit and holds Python's global lock meanwhile, so that no thread could
    end it; an alarm does, with `SlotExit.RENDEZVOUS_TIMEOUT`.
    """
    config = json.loads(os.environ["TF_CONFIG"])
    workers, rank = config["cluster"]["worker"], int(config["task"]["index"])
    if len(workers) == 1:
        return Slots(0, 1, tf.distribute.get_strategy())
    others = ", ".join(worker for number, worker in enumerate(workers) if number != rank)
    print(f"waits up to {timeout_seconds} s for the other slots ({others})", flush=True)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(timeout_seconds)
    implementations = tf.distribute.experimental.CommunicationImplementation
    implementation = implementations.NCCL if tf.config.list_physical_devices("GPU") else implementations.RING
    options = tf.distribute.experimental.CommunicationOptions(implementation=implementation, timeout_seconds=None)
    slots = Slots(rank, len(workers), tf.distribute.MultiWorkerMirroredStrategy(communication_options=options), implementation.value.lower())
    slots.summed(tf.ones([]))
    signal.alarm(0)
    return slots


def is_lost_peer(error: Exception) -> bool:
    """Whether an error says that another slot went away."""
    lost = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)
    return isinstance(error, lost) or (isinstance(error, tf.errors.InternalError) and "ollective" in str(error))
