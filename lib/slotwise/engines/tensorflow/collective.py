"""The slots of a training joined by TensorFlow's collective operations."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tensorflow as tf

from slotwise.contracts.job import SlotExit


@dataclass(frozen=True)
class Slots:
    """This process among the others: slot `rank` of `count`."""

    rank: int
    count: int
    strategy: tf.distribute.Strategy

    @property
    def is_chief(self) -> bool:
        return self.rank == 0

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls `function` where `sum` may be used, inside or outside a `tf.function`."""
        return self.strategy.run(function, args=arguments) if self.count > 1 else function(*arguments)

    def sum(self, value: tf.Tensor) -> tf.Tensor:
        """The sum of a tensor over all slots, the same bits on each; only inside `run`."""
        if self.count == 1:
            return value
        # A function's own argument has no device, which the reduction needs; its identity has one.
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(value))

    def summed(self, value: tf.Tensor) -> tf.Tensor:
        """The sum of a tensor over all slots, called from plain Python."""
        summed: tf.Tensor = self._traced_sum(value)
        return summed

    @cached_property
    def _traced_sum(self) -> Callable[[tf.Tensor], tf.Tensor]:
        return tf.function(lambda value: self.run(self.sum, value), autograph=False)


def connect(timeout_seconds: float) -> Slots:
    """Joins the cluster that `TF_CONFIG` describes.

    TensorFlow waits for absent peers without limit; here the process ends with `SlotExit.RENDEZVOUS_TIMEOUT`.
    """
    config = json.loads(os.environ["TF_CONFIG"])
    workers, rank = config["cluster"]["worker"], int(config["task"]["index"])
    if len(workers) == 1:
        return Slots(0, 1, tf.distribute.get_strategy())
    watchdog = threading.Timer(timeout_seconds, _give_up, (workers, rank, timeout_seconds))
    watchdog.daemon = True
    watchdog.start()
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    implementation = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=implementation.NCCL if on_gpu else implementation.RING, timeout_seconds=None
    )
    slots = Slots(rank, len(workers), tf.distribute.MultiWorkerMirroredStrategy(communication_options=options))
    slots.summed(tf.ones([]))
    watchdog.cancel()
    return slots


def _give_up(workers: list[str], rank: int, timeout_seconds: float) -> None:
    others = ", ".join(worker for number, worker in enumerate(workers) if number != rank)
    print(f"slot {rank} did not reach the other slots ({others}) within {timeout_seconds:.0f} s", file=sys.stderr, flush=True)
    os._exit(SlotExit.RENDEZVOUS_TIMEOUT)
