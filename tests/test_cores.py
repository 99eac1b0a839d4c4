"""Cores are divided among slots only where the slots fill the machine."""

from __future__ import annotations

import pytest

from slotwise.cluster.cores import own_cores


@pytest.mark.parametrize(
    ("hosts", "slot", "cores", "available", "expected"),
    [
        (["a", "a"], 0, 1, [0, 1], [0]),
        (["a", "a"], 1, 1, [0, 1], [1]),
        (["a", "b", "a", "b"], 2, 2, [4, 5, 6, 7], [6, 7]),
        (["a", "b"], 1, 1, [3], [3]),
        (["a"], 0, 1, [0, 1], None),  # another run may be on the other core
        (["a", "a", "a"], 0, 1, [0, 1], None),  # more slots than cores share them all
        (["a", "a"], 0, 2, [0, 1, 2], None),
    ],
)
def test_own_cores(hosts: list[str], slot: int, cores: int, available: list[int], expected: list[int] | None) -> None:
    assert own_cores(hosts, slot, cores, available) == expected
