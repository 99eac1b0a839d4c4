"""Which processor cores a slot keeps to, where the slots of a run fill their machine."""

from __future__ import annotations

from collections.abc import Sequence


def own_cores(hosts: Sequence[str], slot: int, cores: int, available: Sequence[int]) -> list[int] | None:
    """The cores of one slot, or None to leave the choice to the operating system.

    Two slots that wander over two cores get in each other's way at every exchange of gradients. Cores are divided only
    where the slots on this machine need all of them: on a shared machine others may be busy on any.

    Args:
        hosts: the machine of each slot of the run.
        slot: which slot asks.
        cores: cores of each slot.
        available: numbers of the cores that this process may use.
    """
    neighbours = [number for number, host in enumerate(hosts) if host == hosts[slot]]
    if len(neighbours) * cores != len(available):
        return None
    first = neighbours.index(slot) * cores
    return sorted(available)[first : first + cores]
