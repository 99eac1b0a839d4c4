"""Sums over slots of one host through memory that they share.

What a slot adds lies in memory that all of them see, and a byte over a socket says that it is there: a sum costs its copies, while gRPC, which TensorFlow's
own collective operations use, costs a core that computes a third of a millisecond for the smallest sum. NCCL and MPI do the same between processes of one host.
"""

from __future__ import annotations

import mmap
import os
import secrets
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_WAIT_SECONDS = 10.0
_RANK = struct.Struct("!I")
_CREDENTIALS = struct.Struct("3i")  # process, user and group: Linux's ucred

_ALIGNMENT = 64  # bytes: TensorFlow's EIGEN_MAX_ALIGN_BYTES

ONE_PASS_BYTES = 1 << 24
"""Up to so many bytes of all slots together, each adds up everything itself; above, a part of it, and takes the other parts from those who added them."""


class LostNeighbour(ConnectionError):
    """Another slot of this host is gone."""


class Neighbours:
    """This slot among all that share its host: slot `rank` of `count`.

    Args:
        links: a connected socket to each other slot.
        memory: descriptor of a file in memory, the same on all slots.
    """

    def __init__(self, rank: int, count: int, links: Sequence[socket.socket], memory: int) -> None:
        self.rank, self.count = rank, count
        self._links, self._memory, self._used = list(links), memory, 0

    def sum_of(self, shapes: Sequence[Sequence[int]], dtype: npt.DTypeLike) -> NeighbourSum:
        """Sets memory aside for a sum that may be taken many times; all slots ask for theirs in the same order.

        Args:
            shapes: of the arrays that are summed together.
            dtype: of all of them; any that NumPy adds.

        Raises:
            OSError: there is no such memory.
        """
        layout = _Layout([tuple(shape) for shape in shapes], np.dtype(dtype))
        kind = _OnePass if self.count * layout.size * layout.dtype.itemsize <= ONE_PASS_BYTES else _TwoPasses
        return kind(self, layout)

    def meet(self) -> None:
        """Waits until all slots have come here as often as this one.

        Raises:
            LostNeighbour: one of them has ended.
        """
        try:
            for link in self._links:
                link.send(b".")
            for link in self._links:
                if not link.recv(1):
                    raise LostNeighbour("another slot of this host has ended")
        except LostNeighbour:
            raise
        except ConnectionError as error:
            raise LostNeighbour(f"another slot of this host has ended: {error}") from error

    def set_aside(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """An array of zeros in the next piece of the memory."""
        length = max(prod(shape) * dtype.itemsize, 1)
        # Not only made longer: where memory is short that would be found out by a signal, as it is written to.
        os.posix_fallocate(self._memory, self._used, length)
        piece = mmap.mmap(self._memory, length, offset=self._used)
        self._used += -(-length // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        return np.frombuffer(piece, dtype, prod(shape)).reshape(shape)


class _Layout:
    """Arrays one after the other in a flat one, each where TensorFlow takes it without a copy.

    Args:
        shapes, dtype: of the arrays.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], dtype: np.dtype[Any]) -> None:
        self.dtype, self._shapes = dtype, shapes
        step = _ALIGNMENT // dtype.itemsize
        ends = np.cumsum([0, *(-(-prod(shape) // step) * step for shape in shapes)]).tolist()
        self.size: int = ends[-1]
        self._places = [slice(first, first + prod(shape)) for first, shape in zip(ends, shapes, strict=False)]

    def empty(self) -> Array:
        """A flat array, aligned."""
        memory = np.empty(self.size * self.dtype.itemsize + _ALIGNMENT, np.uint8)
        first = -memory.ctypes.data % _ALIGNMENT
        return memory[first : first + self.size * self.dtype.itemsize].view(self.dtype)

    def lay_down(self, flat: Array, values: Sequence[Array]) -> None:
        """Copies the arrays to their places."""
        for place, value in zip(self._places, values, strict=True):
            flat[place] = value.reshape(-1)

    def pick_up(self, flat: Array) -> list[Array]:
        """The arrays at their places, not copied."""
        return [flat[place].reshape(shape) for place, shape in zip(self._places, self._shapes, strict=True)]


class NeighbourSum:
    """One place in a program where slots sum arrays: each gives its own, then each takes the sums; all slots take those of several places in one order."""

    def give(self, values: Sequence[Array]) -> None:
        """Lays down this slot's arrays; it may come long before `take`, and out of order."""
        raise NotImplementedError

    def take(self) -> list[Array]:
        """The sums, the same bits on all slots, once all have given theirs.

        Raises:
            LostNeighbour: another slot has ended.
        """
        raise NotImplementedError


class _OnePass(NeighbourSum):
    """Each slot adds up everything. What is given is kept until the next but one, for a slot may give its next while others still add up its last."""

    def __init__(self, neighbours: Neighbours, layout: _Layout) -> None:
        self._neighbours, self._layout = neighbours, layout
        self._parts = neighbours.set_aside((2, neighbours.count, layout.size), layout.dtype)
        self._given = self._taken = 0

    def give(self, values: Sequence[Array]) -> None:
        self._layout.lay_down(self._parts[self._given % 2, self._neighbours.rank], values)
        self._given += 1

    def take(self) -> list[Array]:
        self._neighbours.meet()
        parts = self._parts[self._taken % 2]
        self._taken += 1
        return self._layout.pick_up(_add_up(parts, self._layout.empty()))


class _TwoPasses(NeighbourSum):
    """Each slot adds up its own stretch of the numbers, as in a reduce-scatter, and then copies those of the others, as in an all-gather."""

    def __init__(self, neighbours: Neighbours, layout: _Layout) -> None:
        self._neighbours, self._layout = neighbours, layout
        self._parts = neighbours.set_aside((neighbours.count, layout.size), layout.dtype)
        self._total = neighbours.set_aside((layout.size,), layout.dtype)
        self._own = slice(*(layout.size * rank // neighbours.count for rank in (neighbours.rank, neighbours.rank + 1)))

    def give(self, values: Sequence[Array]) -> None:
        self._layout.lay_down(self._parts[self._neighbours.rank], values)

    def take(self) -> list[Array]:
        self._neighbours.meet()
        _add_up(self._parts[:, self._own], self._total[self._own])
        self._neighbours.meet()
        total = self._layout.empty()
        np.copyto(total, self._total)
        return self._layout.pick_up(total)


def _add_up(parts: Array, total: Array) -> Array:
    """The sum over the first axis, of two or more, in its order; into `total`, which is given back."""
    np.add(parts[0], parts[1], out=total)
    for part in parts[2:]:
        np.add(total, part, out=total)
    return total


def join(rank: int, count: int, totals: Callable[[Sequence[float]], Sequence[float]]) -> Neighbours | None:
    """Joins slots that seem to share a host; None on all of them if any two cannot reach each other so, as in containers.

    Args:
        rank, count: this slot, and how many there are, at least 2.
        totals: sums of a few numbers over the slots in double precision, by other means.
    """
    if sys.platform != "linux":  # sockets without a file, and their peers' users
        return None
    halves = totals([float(secrets.randbits(48)) if rank == 0 else 0.0 for _ in range(2)])
    name = "\0slotwise-" + "-".join(f"{int(half):x}" for half in halves)
    with ExitStack() as stack:
        links: list[socket.socket] = []
        memory = None
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        with suppress(OSError):
            listener.bind(f"{name}-{rank}")
            listener.listen(count)
        totals([0.0])  # all listen now
        with suppress(OSError):
            links = _links(listener, name, rank, count)
            for link in links:
                stack.callback(link.close)
            memory = _shared_memory(links, rank)
        if totals([float(memory is not None)]) != [float(count)]:
            return None
        stack.pop_all()
        listener.close()
        assert memory is not None
        return Neighbours(rank, count, links, memory)


def _links(listener: socket.socket, name: str, rank: int, count: int) -> list[socket.socket]:
    """A socket to each other slot, in the order of slots: this one calls those before it and is called by those after it."""
    deadline = time.monotonic() + _WAIT_SECONDS
    links = {}
    for other in range(rank):
        link = links[other] = socket.socket(socket.AF_UNIX)
        link.settimeout(_WAIT_SECONDS)
        link.connect(f"{name}-{other}")
        link.sendall(_RANK.pack(rank))
    while len(links) < count - 1:
        listener.settimeout(max(deadline - time.monotonic(), 0.01))
        link, _ = listener.accept()
        link.settimeout(_WAIT_SECONDS)
        if _user(link) != os.getuid():  # whoever else of this host has found the name
            link.close()
            continue
        (other,) = _RANK.unpack(link.recv(_RANK.size, socket.MSG_WAITALL))
        links[other] = link
    return [links[other] for other in sorted(links)]


def _user(link: socket.socket) -> int:
    _, user, _ = _CREDENTIALS.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(user)


def _shared_memory(links: Sequence[socket.socket], rank: int) -> int:
    """The descriptor of memory that slot 0 makes and hands to the others; it goes with the last of their processes."""
    if rank == 0:
        memory = os.memfd_create("slotwise-sums")
        for link in links:
            socket.send_fds(link, [b"m"], [memory])
    else:
        _, (memory,), _, _ = socket.recv_fds(links[0], 1, 1)
    for link in links:
        link.settimeout(None)
    return memory
