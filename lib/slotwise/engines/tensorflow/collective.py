"""The slots of a training joined by TensorFlow's collective operations, and on one host by memory that they share."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from slotwise.engines.neighbours import LostNeighbour, Neighbours, join

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
    neighbours: Neighbours | None = None
    """The slots, if all share one host; then they sum through memory."""
    _keys: Iterator[int] = field(default_factory=lambda: itertools.count(1), init=False, repr=False)

    @property
    def is_chief(self) -> bool:
        return self.rank == 0

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls `function` where `sum` may be used."""
        return self.strategy.run(function, args=arguments) if self.count > 1 else function(*arguments)

    def sum(self, value: tf.Tensor) -> tf.Tensor:
        """The sum of a tensor over all slots, the same bits on each; only inside `run`, in what is traced."""
        (summed,) = self.sums([value])
        return summed

    def sums(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The sums of tensors of one dtype, which take their trip together; else like `sum`."""
        if self.count == 1:
            return list(values)
        if not self.neighbours or not all(value.shape.is_fully_defined() for value in values):
            return self._sums_over_network(values)
        place = self.neighbours.sum_of([value.shape.as_list() for value in values], values[0].dtype.as_numpy_dtype)

        def give(*own: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
            place.give(own)
            return np.array(True)

        # Given once they are known, but taken after the sums that were traced before, so that all slots take in one order.
        are_given = self._begun_when_ready(lambda *own: tf.numpy_function(give, own, tf.bool), *values)
        sums = tf.numpy_function(lambda _: place.take(), [are_given], [value.dtype for value in values])
        return [tf.ensure_shape(each, value.shape) for each, value in zip(sums, values, strict=True)]

    def _sums_over_network(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        if len(values) == 1:
            return [self._sum_over_network(values[0])]
        summed = self._sum_over_network(tf.concat([tf.reshape(value, [-1]) for value in values], 0))
        parts = tf.split(summed, [value.shape.num_elements() for value in values])
        return [tf.reshape(part, value.shape) for part, value in zip(parts, values, strict=True)]

    def _sum_over_network(self, value: tf.Tensor) -> tf.Tensor:
        """The sum by a collective operation.

        A trip of few bytes costs its latency, so small tensors go around once and each slot adds all of them up, in the order of slots.

        The operation has the number of its place in the order of tracing, which is the same on all slots. The strategy's own
        `all_reduce` has a new one in every call, and TensorFlow keeps 1.5 kB for each number until the process ends
        (https://github.com/tensorflow/tensorflow/issues/42616).
        """
        place = {
            "group_size": self.count, "group_key": _GROUP, "instance_key": next(self._keys),
            "ordering_token": [variable.handle for variable in self._order], "communication_hint": self.communication,
        }  # fmt: skip
        if self.communication == "ring" and value.shape.is_fully_defined() and value.shape.num_elements() * value.dtype.size <= ONE_TRIP_BYTES:
            gathered = self._begun_when_ready(lambda own: tf.raw_ops.CollectiveGatherV2(input=own, **place), value[None])
            return tf.reduce_sum(tf.ensure_shape(gathered, [self.count, *value.shape]), 0)
        reduced = self._begun_when_ready(lambda own: tf.raw_ops.CollectiveReduceV2(input=own, merge_op="Add", final_op="Id", **place), value)
        return tf.ensure_shape(reduced, value.shape)

    def _begun_when_ready(self, operation: Callable[..., tf.Tensor], *values: tf.Tensor) -> tf.Tensor:
        """Begins an operation with side effects once its inputs are known, whichever were written before it.

        TensorFlow runs operations with side effects in the order in which they were traced, each after the end of the one before.
        It does not look into a function that is called as one without. NCCL wants one order on all slots.
        """
        if self._order:
            return operation(*values)
        function = tf.function(operation, autograph=False).get_concrete_function(*(tf.TensorSpec(value.shape, value.dtype) for value in values))
        (result,) = tf.raw_ops.PartitionedCall(args=values, Tout=[function.outputs[0].dtype], f=function)
        return result

    def summed(self, value: tf.Tensor) -> tf.Tensor:
        """The sum of a tensor over all slots, called from plain Python."""
        kind = tf.TensorSpec(value.shape, value.dtype)
        if kind not in self._traced_sums:
            # Traced by being called, with one shape after the other, it would make TensorFlow warn of that.
            self._traced_sums[kind] = tf.function(lambda own: self.run(self.sum, own), autograph=False).get_concrete_function(kind)
        summed: tf.Tensor = self._traced_sums[kind](value)
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
    def _traced_sums(self) -> dict[tf.TensorSpec, Callable[[tf.Tensor], tf.Tensor]]:
        return {}


def addresses() -> tuple[list[str], int]:
    """The `host:port` of each slot, and which of them this one is, as `TF_CONFIG` has it."""
    config = json.loads(os.environ["TF_CONFIG"])
    return config["cluster"]["worker"], int(config["task"]["index"])


def share_a_host(workers: Sequence[str]) -> bool:
    """Whether slots, more than one, have one host; there they sum through memory, unless they have GPUs.

    >>> share_a_host(["10.0.0.1:4000", "10.0.0.1:4001"]), share_a_host(["10.0.0.1:4000", "10.0.0.2:4000"]), share_a_host(["10.0.0.1:4000"])
    (True, False, False)
    """
    return len(workers) > 1 and len({worker.rpartition(":")[0] for worker in workers}) == 1 and not tf.config.list_physical_devices("GPU")


def connect(timeout_seconds: int, *, through_memory: bool = True) -> Slots:
    """Joins the cluster that `TF_CONFIG` describes; slots that share a host do without its memory if told so.

    TensorFlow waits for absent peers without limit and holds Python's global lock meanwhile, so that no thread could
    end it; an alarm does, with `SlotExit.RENDEZVOUS_TIMEOUT`.
    """
    workers, rank = addresses()
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
    if through_memory and share_a_host(workers):
        slots = replace(slots, neighbours=join(rank, len(workers), slots.total))
        print("all slots share this host: they sum through memory" if slots.neighbours else "slots of this host do not see each other: they sum over the network", flush=True)
    signal.alarm(0)
    return slots


def is_lost_peer(error: Exception) -> bool:
    """Whether an error says that another slot went away."""
    if isinstance(error, tf.errors.UnknownError) and LostNeighbour.__name__ in str(error):
        return True
    lost = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)
    return isinstance(error, lost) or (isinstance(error, tf.errors.InternalError) and "ollective" in str(error))
