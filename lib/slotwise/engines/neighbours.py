"""Sums over slots of one host through memory that they share, and what each host adds to a sum over several.

What a slot adds lies in memory that all of them see, and a byte over a socket says that it is there: a sum costs its copies, while gRPC, which TensorFlow's
own collective operations use, costs a core that computes a third of a millisecond for the smallest sum. NCCL and MPI do the same between processes of one host,
and have hosts sum what their own processes have added up (hierarchical all-reduce: Jia et al. 2018, https://arxiv.org/abs/1807.11205).

Between two sums a convolution's data takes the processor's caches, so what a small sum costs is how much of Python it has to fetch again: an array's ctypes take 40 µs then, its
__array_interface__ 25, a context manager of contextlib 25, a NumPy operation 5. Hence what gives and takes has views made beforehand, and as few kinds of calls as it can do with.
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
from functools import wraps
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
"""Up to so many bytes of all slots together, a slot adds up everything itself; above, each a part of it, and takes the other parts from those who added them."""


class LostNeighbour(ConnectionError):
    """Another slot of this host is gone."""


def _or_lost(exchange: Callable[[Neighbours], None]) -> Callable[[Neighbours], None]:
    """The same with LostNeighbour for what a socket says of a slot that is gone."""

    @wraps(exchange)
    def checked(neighbours: Neighbours) -> None:
        try:
            exchange(neighbours)
        except ConnectionError as error:
            raise LostNeighbour(f"another slot of this host has ended: {error}") from error

    return checked


class Neighbours:
    """This slot among all that share its host: slot `rank` of `count`.

    Args:
        links: a connected socket to each other slot, in the order of slots.
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
        layout = _Layout.of(shapes, dtype)
        return _OnePass(self, layout) if self._in_one_pass(layout) else _TwoPasses(self, layout)

    def host_sum_of(self, shapes: Sequence[Sequence[int]], dtype: npt.DTypeLike) -> HostSum:
        """As `sum_of`, of what goes on to other hosts."""
        layout = _Layout.of(shapes, dtype)
        return HostSum(self, layout, by_first=self._in_one_pass(layout))

    def _in_one_pass(self, layout: _Layout) -> bool:
        return self.count * layout.size * layout.dtype.itemsize <= ONE_PASS_BYTES

    @_or_lost
    def meet(self) -> None:
        """Waits until all slots have come here as often as this one.

        Raises:
            LostNeighbour: one of them has ended.
        """
        _tell(self._links)
        _hear(self._links)

    @_or_lost
    def meet_first(self) -> None:
        """Has the first slot wait for all others, and none of these for anyone; raises as `meet`."""
        if self.rank == 0:
            _hear(self._links)
        else:
            _tell(self._links[:1])

    @_or_lost
    def follow_first(self) -> None:
        """Has all others wait for the first slot, and that for nobody; raises as `meet`."""
        if self.rank == 0:
            _tell(self._links)
        else:
            _hear(self._links[:1])

    def set_aside(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """An array of zeros in the next piece of the memory."""
        length = max(prod(shape) * dtype.itemsize, 1)
        # Not only made longer: where memory is short that would be found out by a signal, as it is written to.
        os.posix_fallocate(self._memory, self._used, length)
        piece = mmap.mmap(self._memory, length, offset=self._used)
        self._used += -(-length // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        return np.frombuffer(piece, dtype, prod(shape)).reshape(shape)


def _tell(links: Sequence[socket.socket]) -> None:
    for link in links:
        link.send(b".")


def _hear(links: Sequence[socket.socket]) -> None:
    for link in links:
        if not link.recv(1):
            raise ConnectionResetError("its socket is closed")


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

    @classmethod
    def of(cls, shapes: Sequence[Sequence[int]], dtype: npt.DTypeLike) -> _Layout:
        return cls([tuple(shape) for shape in shapes], np.dtype(dtype))

    def stretch(self, rank: int, count: int) -> slice:
        """The part of the numbers that one of so many slots adds up."""
        return slice(*(self.size * number // count for number in (rank, rank + 1)))

    def empty(self) -> Array:
        """A flat array, aligned."""
        memory = np.empty(self.size * self.dtype.itemsize + _ALIGNMENT, np.uint8)
        first = -memory.__array_interface__["data"][0] % _ALIGNMENT
        return memory[first : first + self.size * self.dtype.itemsize].view(self.dtype)

    def views(self, flat: Array) -> list[Array]:
        """The arrays at their places, not copied."""
        return [flat[place].reshape(shape) for place, shape in zip(self._places, self._shapes, strict=True)]


class NeighbourSum:
    """One place in a program where slots sum arrays: each gives its own, then each takes the sums; all slots take those of several places in one order."""

    def give(self, values: Sequence[Array], first: int = 0) -> None:
        """Lays down this slot's arrays, or some of them; it may come long before `take`, and out of order, but not before the last `take`.

        Args:
            values: neighbours in the order of `sum_of`.
            first: the number of the first of them there.
        """
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
        turns = neighbours.set_aside((2, neighbours.count, layout.size), layout.dtype)
        self._parts, self._own = [list(parts) for parts in turns], [layout.views(parts[neighbours.rank]) for parts in turns]
        self._taken = 0

    def give(self, values: Sequence[Array], first: int = 0) -> None:
        _lay_down(values, self._own[self._taken % 2][first : first + len(values)])

    def take(self) -> list[Array]:
        self._neighbours.meet()
        parts = self._parts[self._taken % 2]
        self._taken += 1
        return self._layout.views(_add_up(parts, self._layout.empty()))


class _TwoPasses(NeighbourSum):
    """Each slot adds up its own stretch of the numbers, as in a reduce-scatter, and then copies those of the others, as in an all-gather."""

    def __init__(self, neighbours: Neighbours, layout: _Layout) -> None:
        self._neighbours, self._layout = neighbours, layout
        parts, self._total = neighbours.set_aside((neighbours.count, layout.size), layout.dtype), neighbours.set_aside((layout.size,), layout.dtype)
        self._own, stretch = layout.views(parts[neighbours.rank]), layout.stretch(neighbours.rank, neighbours.count)
        self._stretches, self._stretch_total = [part[stretch] for part in parts], self._total[stretch]

    def give(self, values: Sequence[Array], first: int = 0) -> None:
        _lay_down(values, self._own[first : first + len(values)])

    def take(self) -> list[Array]:
        self._neighbours.meet()
        _add_up(self._stretches, self._stretch_total)
        self._neighbours.meet()
        return self._layout.views(_copied(self._total, self._layout.empty()))


class HostSum:
    """One place in a program where slots of several hosts sum arrays: those of a host add theirs up, and the first of them sums that with other hosts'.

    All slots `give`; then the first calls `add_up` and, with what came of it, `hand_out`, and the others `take`. Nobody gives his next before he has taken
    his last, and the first, who hands out when all have given, knows by this that all have taken.

    Args:
        by_first: whether the first slot adds up everything, or each its stretch of the numbers.
    """

    def __init__(self, neighbours: Neighbours, layout: _Layout, *, by_first: bool) -> None:
        self._neighbours, self._layout, self._by_first = neighbours, layout, by_first
        parts, self._total = neighbours.set_aside((neighbours.count, layout.size), layout.dtype), neighbours.set_aside((layout.size,), layout.dtype)
        self._own, stretch = layout.views(parts[neighbours.rank]), layout.stretch(neighbours.rank, neighbours.count)
        self._parts, self._stretches, self._stretch_total = list(parts), [part[stretch] for part in parts], self._total[stretch]

    @property
    def size(self) -> int:
        """Numbers that `add_up` gives."""
        return self._layout.size

    def give(self, values: Sequence[Array]) -> None:
        """Lays down this slot's arrays; it may come long before what follows, and out of order."""
        _lay_down(values, self._own)

    def add_up(self) -> Array:
        """The sums over this host, flat, once all its slots have given theirs. Raises LostNeighbour."""
        self._come()
        total = self._layout.empty()
        return _add_up(self._parts, total) if self._by_first else _copied(self._total, total)

    def hand_out(self, total: Array) -> list[Array]:
        """The sums over all hosts, from the flat one, after the other slots can take them. Raises LostNeighbour."""
        np.copyto(self._total, total)
        self._neighbours.follow_first()
        return self._layout.views(total)

    def take(self) -> list[Array]:
        """The sums over all hosts, once the first slot has handed them out. Raises LostNeighbour."""
        self._come()
        self._neighbours.follow_first()
        return self._layout.views(_copied(self._total, self._layout.empty()))

    def _come(self) -> None:
        if not self._by_first:
            self._neighbours.meet()
            _add_up(self._stretches, self._stretch_total)
        self._neighbours.meet_first()


def _lay_down(values: Sequence[Array], places: Sequence[Array]) -> None:
    for place, value in zip(places, values, strict=True):
        place[...] = value


def _add_up(parts: Sequence[Array], total: Array) -> Array:
    """The sum of arrays, in their order; into `total`, which is given back."""
    np.add(parts[0], parts[1] if len(parts) > 1 else 0, out=total)
    for part in parts[2:]:
        np.add(total, part, out=total)
    return total


def _copied(values: Array, into: Array) -> Array:
    np.copyto(into, values)
    return into


def join(rank: int, hosts: Sequence[int], totals: Callable[[Sequence[float]], Sequence[float]]) -> Neighbours | None:
    """Joins slots that seem to share a host with each other; None on all slots if any two of them cannot reach each other so, as in containers.

    Args:
        rank: this slot.
        hosts: a number for the host of each slot.
        totals: sums of a few numbers over all slots in double precision, by other means.
    """
    if sys.platform != "linux":  # sockets without a file, and their peers' users
        return None
    halves = totals([float(secrets.randbits(48)) if rank == 0 else 0.0 for _ in range(2)])
    name = "\0slotwise-" + "-".join(f"{int(half):x}" for half in (*halves, hosts[rank]))
    slots = [slot for slot, host in enumerate(hosts) if host == hosts[rank]]
    place, count = slots.index(rank), len(slots)
    with ExitStack() as stack:
        links: list[socket.socket] = []
        memory = None
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        with suppress(OSError):
            listener.bind(f"{name}-{place}")
            listener.listen(count)
        totals([0.0])  # all listen now
        with suppress(OSError):
            links = _links(listener, name, place, count)
            for link in links:
                stack.callback(link.close)
            memory = _shared_memory(links, place)
        if totals([float(memory is not None)]) != [float(len(hosts))]:
            return None
        stack.pop_all()
        listener.close()
        assert memory is not None
        return Neighbours(place, count, links, memory)


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
