"""Equal pieces of work on two cores at the same time, by processes that meet after each piece or do not: what going in step costs where nothing is exchanged.

    python -m benchmarks.in_step [DESCRIPTOR]     of a socket to the other process, if they meet; prints pieces per second
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import numpy as np

from benchmarks.processes import one_core_environment, pinned

# Half of a piece is arithmetic in the cache and half streams through memory; together they take what lies between two sums of `simple`, some ms.
_SIDE, _STREAMED = 224, 1 << 22
_PIECES = 3_000
_WARM_UP = 100


def both_rates(*, meet: bool) -> float:
    """Pieces per second of two processes together, each on a core of its own."""
    with ExitStack() as stack:
        # Closed here once both have theirs, so that nobody waits for one that has failed.
        links = [stack.enter_context(link) for link in socket.socketpair()]
        processes = []
        for core, link in enumerate(links):
            command = pinned([sys.executable, "-m", "benchmarks.in_step", *([str(link.fileno())] if meet else [])], core)
            processes.append(subprocess.Popen(command, env=one_core_environment(), stdout=subprocess.PIPE, text=True, pass_fds=[link.fileno()]))
    said = [process.communicate()[0] for process in processes]
    return sum(map(float, said))


def rate(link: socket.socket | None) -> float:
    """Pieces per second of this process, which meets the other one at the end of `link` after each."""
    generator = np.random.default_rng(0)
    matrix = generator.random((_SIDE, _SIDE), np.float32)
    stream, product, total = generator.random(_STREAMED, np.float32), np.empty_like(matrix), np.zeros(_STREAMED, np.float32)
    for number in range(_WARM_UP + _PIECES):
        if number == _WARM_UP:
            began = time.monotonic()
        np.matmul(matrix, matrix, out=product)
        np.add(total, stream, out=total)
        if link:
            link.send(b"m")
            link.recv(1)
    return _PIECES / (time.monotonic() - began)


if __name__ == "__main__":
    print(rate(socket.socket(fileno=int(sys.argv[1])) if sys.argv[1:] else None))
