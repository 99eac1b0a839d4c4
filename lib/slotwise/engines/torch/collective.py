"""The slots of a training joined by torch.distributed: gloo between processors, NCCL between GPUs."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

# A slot that waits is alive: the supervisor finds those that are not, so no sum gives up by itself.
_NO_LIMIT = timedelta(days=365)


@dataclass(frozen=True)
class Slots:
    """This process among the others: slot `rank` of `count`.

    `group` has the sums that layers and steps make by themselves, apart from the gradients', which come in an order of their own.
    """

    rank: int
    count: int
    device: torch.device
    group: dist.ProcessGroup | None = None

    @property
    def is_chief(self) -> bool:
        return self.rank == 0

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all slots, in its own place, the same bits on each."""
        if self.count > 1:
            dist.all_reduce(value, group=self.group)
        return value

    def total(self, numbers: Sequence[float]) -> list[float]:
        """The sums of a few numbers over all slots."""
        summed: list[float] = self.sum(torch.tensor(numbers, dtype=torch.float64, device=self.device)).tolist()
        return summed

    def part(self) -> None:
        """Waits until the other slots have all their results too: who leaves earlier closes a connection that they still read from.

        Whoever misses this last sum has missed nothing, so its failure is none.
        """
        with suppress(RuntimeError):
            self.total([1.0])


def connect(timeout_seconds: int) -> Slots:
    """Joins the slots that `MASTER_ADDR`, `MASTER_PORT`, `RANK` and `WORLD_SIZE` describe.

    An alarm ends the process with `SlotExit.RENDEZVOUS_TIMEOUT` where they do not come.
    """
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if count == 1:
        return Slots(0, 1, device)
    print(f"waits up to {timeout_seconds} s for the other slots ({count} at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']})", flush=True)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(timeout_seconds)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=rank, world_size=count, timeout=_NO_LIMIT)
    slots = Slots(rank, count, device, dist.new_group(timeout=_NO_LIMIT))
    slots.total([1.0])
    signal.alarm(0)
    return slots


def is_lost_peer(error: Exception) -> bool:
    """Whether an error says that another slot went away."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "NCCL")))
