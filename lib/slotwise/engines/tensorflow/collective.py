"""The slots of a training joined by TensorFlow's collective operations, and on one host by memory that they share."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from slotwise.engines.neighbours import LostNeighbour, Neighbours, join
from slotwise.engines.tensorflow.network import ONE_TRIP_BYTES, Network

# Numbers of groups of processes; the strategy counts its own from 1.
_ALL, _FIRST_OF_HOSTS = 1_000, 1_001

_CALL_BYTES = 1 << 18  # copied in the time of a call into Python


@dataclass(frozen=True)
class Slots:
    """This process among the others: slot `rank` of `count`."""

    rank: int
    count: int
    strategy: tf.distribute.Strategy
    network: Network
    """That of all slots."""
    neighbours: Neighbours | None = None
    """The slots of this one's host, if any host has several; these sum through memory."""
    between_hosts: Network | None = None
    """That of the first slots of all hosts, if there are several hosts and neighbours."""
    no_constant: tf.Variable | None = None
    """A variable for `_given`, where there are neighbours."""

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

    def sums(self, *buckets: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The sums of tensors of one dtype, in their order; else like `sum`. A bucket's tensors take their trip together.

        Args:
            buckets: the last one's tensors are known first, and the first one's last.
        """
        values = list(itertools.chain(*buckets))
        if self.count == 1:
            return values
        if not self.neighbours or not all(value.shape.is_fully_defined() for value in values):
            return [summed for bucket in buckets for summed in self.network.sums(bucket)]
        if self.between_hosts:
            return [summed for bucket in buckets for summed in _sums_over_hosts(bucket, self.neighbours, self.no_constant, self.between_hosts)]
        return _sums_on_host(buckets, self.neighbours, self.no_constant)

    @property
    def last_bucket_bytes(self) -> int:
        """What `sums` had better have in its first bucket, which is known last: as much as takes one trip over the network; in memory, as much as is
        copied in the time of the call into Python that would give it sooner.
        """
        return ONE_TRIP_BYTES if self.between_hosts or not self.neighbours else _CALL_BYTES

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
    def _traced_sums(self) -> dict[tf.TensorSpec, Callable[[tf.Tensor], tf.Tensor]]:
        return {}


def _sums_on_host(buckets: Sequence[Sequence[tf.Tensor]], neighbours: Neighbours, no_constant: tf.Variable | None) -> list[tf.Tensor]:
    """What is known last is given by the call that takes all sums: a call into Python costs more than a small sum."""
    values = list(itertools.chain(*buckets))
    place = neighbours.sum_of([value.shape.as_list() for value in values], values[0].dtype.as_numpy_dtype)
    ends = list(itertools.accumulate(len(bucket) for bucket in buckets))
    are_given = [_given(partial(place.give, first=end), bucket, no_constant) for end, bucket in zip(ends, buckets[1:], strict=False)]

    def give_and_take(*arguments: npt.NDArray[Any]) -> Sequence[npt.NDArray[Any]]:
        place.give(arguments[len(are_given) :])
        return place.take()

    return _from_python(give_and_take, [*are_given, *buckets[0]], values)


def _sums_over_hosts(values: Sequence[tf.Tensor], neighbours: Neighbours, no_constant: tf.Variable | None, between_hosts: Network) -> list[tf.Tensor]:
    place = neighbours.host_sum_of([value.shape.as_list() for value in values], values[0].dtype.as_numpy_dtype)
    are_given = _given(place.give, values, no_constant)
    if neighbours.rank > 0:
        return _from_python(lambda _: place.take(), [are_given], values)
    own = tf.numpy_function(lambda _: place.add_up(), [are_given], values[0].dtype)
    return _from_python(place.hand_out, [between_hosts.sum(tf.ensure_shape(own, [place.size]))], values)


def _given(give: Callable[[Sequence[npt.NDArray[Any]]], None], values: Sequence[tf.Tensor], no_constant: tf.Variable | None) -> tf.Tensor:
    """Gives values once they are known, for TensorFlow orders stateless operations by their inputs alone. They are taken after the sums that were
    traced before, so that all slots take in one order.

    Args:
        no_constant: any variable; a stateless operation on constants alone would be carried out once and no more.
    """

    def once_known(_: npt.NDArray[np.bool_], *own: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        give(own)
        return np.array(True)

    return tf.numpy_function(once_known, [no_constant, *values], tf.bool, stateful=False)


def _from_python(function: Callable[..., Sequence[npt.NDArray[Any]]], arguments: Sequence[tf.Tensor], like: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Tensors of the shapes and dtypes of others."""
    found = tf.numpy_function(function, arguments, [value.dtype for value in like])
    return [tf.ensure_shape(each, value.shape) for each, value in zip(found, like, strict=True)]


def addresses() -> tuple[list[str], int]:
    """The `host:port` of each slot, and which of them this one is, as `TF_CONFIG` has it."""
    config = json.loads(os.environ["TF_CONFIG"])
    return config["cluster"]["worker"], int(config["task"]["index"])


def hosts_of(workers: Sequence[str]) -> list[int]:
    """A number for the host of each slot, which is that of the first slot there, from its `host:port`.

    >>> hosts_of(["10.0.0.1:4000", "10.0.0.1:4001", "10.0.0.2:4000", "10.0.0.1:4002"])
    [0, 0, 2, 0]
    """
    names = [worker.rpartition(":")[0] for worker in workers]
    return [names.index(name) for name in names]


def share_hosts(workers: Sequence[str]) -> bool:
    """Whether any host has several slots; these sum through memory, unless they have GPUs.

    >>> share_hosts(["10.0.0.1:4000", "10.0.0.2:4000", "10.0.0.1:4001"]), share_hosts(["10.0.0.1:4000", "10.0.0.2:4000"])
    (True, False)
    """
    return len(set(hosts_of(workers))) < len(workers) and not tf.config.list_physical_devices("GPU")


def alone() -> Slots:
    """The only slot."""
    return Slots(0, 1, tf.distribute.get_strategy(), Network(_ALL, 1, "ring"))


def connect(timeout_seconds: int, *, through_memory: bool = True) -> Slots:
    """Joins the cluster that `TF_CONFIG` describes; slots that share a host do without its memory if told so.

    TensorFlow waits for absent peers without limit and holds Python's global lock meanwhile, so that no thread could
    end it; an alarm does, with `SlotExit.RENDEZVOUS_TIMEOUT`.
    """
    workers, rank = addresses()
    if len(workers) == 1:
        return alone()
    others = ", ".join(worker for number, worker in enumerate(workers) if number != rank)
    print(f"waits up to {timeout_seconds} s for the other slots ({others})", flush=True)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(timeout_seconds)
    implementations = tf.distribute.experimental.CommunicationImplementation
    implementation = implementations.NCCL if tf.config.list_physical_devices("GPU") else implementations.RING
    options = tf.distribute.experimental.CommunicationOptions(implementation=implementation, timeout_seconds=None)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    slots = Slots(rank, len(workers), strategy, Network(_ALL, len(workers), implementation.value.lower()))
    slots.summed(tf.ones([]))
    if through_memory and share_hosts(workers):
        slots = _joined(slots, hosts_of(workers))
    signal.alarm(0)
    return slots


def _joined(slots: Slots, hosts: Sequence[int]) -> Slots:
    """The slots with those of each host joined, if all of these see each other."""
    neighbours, count = join(slots.rank, hosts, slots.total), len(set(hosts))
    if not neighbours:
        print("slots of a host do not see each other: all sum over the network", flush=True)
        return slots
    no_constant = tf.Variable(False, trainable=False)
    if count == 1:
        print("all slots share this host: they sum through memory", flush=True)
        return replace(slots, neighbours=neighbours, no_constant=no_constant)
    print(f"slots that share a host sum through memory, and {count} hosts over the network", flush=True)
    return replace(slots, neighbours=neighbours, no_constant=no_constant, between_hosts=Network(_FIRST_OF_HOSTS, count, slots.network.communication))


def is_lost_peer(error: Exception) -> bool:
    """Whether an error says that another slot went away."""
    if isinstance(error, tf.errors.UnknownError) and LostNeighbour.__name__ in str(error):
        return True
    lost = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)
    return isinstance(error, lost) or (isinstance(error, tf.errors.InternalError) and "ollective" in str(error))
