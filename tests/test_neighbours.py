"""Sums over slots of one host through memory: right in every call, the same bits everywhere, and over as soon as a slot is gone."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slotwise.engines import neighbours
from slotwise.engines.neighbours import ONE_PASS_BYTES, LostNeighbour, Neighbours, join

Totals = Callable[[Sequence[float]], list[float]]


def _totals(count: int) -> list[Totals]:
    """What TensorFlow's collective operations do at the rendezvous, for each slot."""
    said: list[Sequence[float]] = [()] * count
    barrier = threading.Barrier(count)

    def of(rank: int) -> Totals:
        def totals(numbers: Sequence[float]) -> list[float]:
            said[rank] = numbers
            barrier.wait(30)
            sums = [sum(column) for column in zip(*said, strict=True)]
            barrier.wait(30)
            return sums

        return totals

    return [of(rank) for rank in range(count)]


def _on_each(count: int, action: Callable[[Neighbours], Any]) -> list[Any]:
    """What an action gives on each of so many slots of one host, which are threads here; `test_sums` has processes."""
    return _on_hosts([0] * count, lambda _, slot: action(slot))


def _on_hosts(hosts: Sequence[int], action: Callable[[int, Neighbours], Any]) -> list[Any]:
    """The same of a slot's number and its place on its host, with the host of each slot."""

    def slot(rank: int, totals: Totals) -> Any:
        joined = join(rank, hosts, totals)
        assert joined is not None
        return action(rank, joined)

    with ThreadPoolExecutor(len(hosts)) as pool:
        return list(pool.map(slot, range(len(hosts)), _totals(len(hosts))))


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(2, 5),
    shape=st.lists(st.integers(1, 40), max_size=2),
    dtype=st.sampled_from(["float32", "float64", "int64"]),
    more_than=st.sampled_from([0, 1 << 18, ONE_PASS_BYTES // 8]),
    turns=st.integers(1, 5),
)
def test_every_slot_has_the_same_bits_and_the_right_sum(count: int, shape: list[int], dtype: str, more_than: int, turns: int) -> None:
    sizes = [*shape, more_than // max(int(np.prod(shape)), 1) + 1] if more_than else shape
    values = [[np.random.default_rng([rank, turn]).normal(size=sizes).astype(dtype) + rank for turn in range(turns)] for rank in range(count)]

    def sums(slot: Neighbours) -> list[Any]:
        place = slot.sum_of([sizes, [3]], dtype)
        taken = []
        for value in values[slot.rank]:
            place.give([value, np.full(3, slot.rank, dtype)])
            summed, ranks = place.take()
            assert ranks.tolist() == [count * (count - 1) // 2] * 3
            assert summed.ctypes.data % 64 == ranks.ctypes.data % 64 == 0
            taken.append(summed)
        return taken

    taken = _on_each(count, sums)
    for turn in range(turns):
        first = taken[0][turn]
        assert first.dtype == dtype
        assert first.shape == tuple(sizes)
        assert {each[turn].tobytes() for each in taken} == {first.tobytes()}
        np.testing.assert_allclose(first, np.sum([each[turn] for each in values], 0, dtype=dtype), rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-5)


@pytest.mark.parametrize("size", [3, ONE_PASS_BYTES // 16])
def test_what_is_known_sooner_can_be_given_sooner(size: int) -> None:
    def sums(slot: Neighbours) -> list[list[float]]:
        place, other = slot.sum_of([[2], [size], []], "float64"), slot.sum_of([[1]], "float64")
        found = []
        for turn in range(1, 4):
            place.give([np.full(size, float(turn)), np.array(10.0 * slot.rank)], 1)
            other.give([np.ones(1)])
            assert other.take()[0].tolist() == [3]
            place.give([np.full(2, 100.0 * turn)])
            found.append([float(each.max()) for each in place.take()])
        return found

    assert _on_each(3, sums) == [[[300.0 * turn, 3.0 * turn, 30.0] for turn in range(1, 4)]] * 3


@pytest.mark.parametrize("size", [3, ONE_PASS_BYTES // 16])
def test_a_slot_that_is_ahead_does_not_change_what_others_still_add_up(size: int) -> None:
    def sums(slot: Neighbours) -> list[float]:
        early, late = slot.sum_of([[size]], "float64"), slot.sum_of([[1]], "float64")
        found = []
        for turn in range(200):
            late.give([np.full(1, float(slot.rank))])  # given in another order than taken
            early.give([np.full(size, float(turn * (slot.rank + 1)))])
            found += [float(each[0].max()) for each in (early.take(), late.take())]
        return found

    right = [float(number) for turn in range(20) for number in (3 * turn, 1)]
    assert [each[:40] for each in _on_each(2, sums)] == [right] * 2


@settings(max_examples=25, deadline=None)
@given(
    hosts=st.lists(st.integers(0, 2), min_size=1, max_size=6).map(lambda drawn: [sorted(set(drawn)).index(host) for host in drawn]),
    numbers=st.integers(1, 300),
    dtype=st.sampled_from(["float32", "float64"]),
    is_large=st.booleans(),
    turns=st.integers(1, 4),
)
def test_hosts_sum_what_their_slots_have_added_up(hosts: list[int], numbers: int, dtype: str, is_large: bool, turns: int) -> None:
    sizes = [numbers + (ONE_PASS_BYTES // 8 if is_large else 0)]
    values = [[np.random.default_rng([rank, turn]).normal(size=sizes).astype(dtype) for turn in range(turns)] for rank in range(len(hosts))]
    sent: list[Any] = [None] * (max(hosts) + 1)
    network = threading.Barrier(len(sent))

    def over_network(host: int, own: Any) -> Any:
        sent[host] = own.copy()
        network.wait(30)
        total = np.sum(sent, 0)
        network.wait(30)
        return total

    def sums(rank: int, slot: Neighbours) -> list[Any]:
        place, other = slot.host_sum_of([sizes, [3]], dtype), slot.host_sum_of([[1]], dtype)
        taken = []
        for turn in range(turns):
            other.give([np.full(1, rank, dtype)])  # given in another order than taken
            place.give([values[rank][turn], np.full(3, turn, dtype)])
            for each in (place, other):
                taken += each.take() if slot.rank else each.hand_out(over_network(hosts[rank], each.add_up()))
        return taken

    taken = _on_hosts(hosts, sums)
    for number, first in enumerate(taken[0]):
        turn = number // 3
        right = [np.sum([each[turn] for each in values], 0), np.full(3, len(hosts) * turn), [sum(range(len(hosts)))]][number % 3]
        np.testing.assert_allclose(first, right, rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-5)
        assert {each[number].tobytes() for each in taken} == {first.tobytes()}


@pytest.mark.parametrize("size", [2, ONE_PASS_BYTES // 8])
@pytest.mark.parametrize("leaves", [0, 2])
def test_a_slot_that_ends_amid_a_sum_over_hosts_is_told_to_the_others_of_its_host(leaves: int, size: int) -> None:
    def sum_once(_: int, slot: Neighbours) -> str:
        place = slot.host_sum_of([[size]], "float32")
        place.give([np.ones(size, np.float32)])
        if slot.rank == leaves:
            for link in slot._links:
                link.close()
            return "left"
        with pytest.raises(LostNeighbour, match="has ended"):
            place.take() if slot.rank else place.add_up()
        return "told"

    assert _on_hosts([0, 0, 0], sum_once) == ["left" if rank == leaves else "told" for rank in range(3)]


def test_a_slot_that_ends_is_told_to_the_others() -> None:
    def leave(slot: Neighbours) -> str:
        place = slot.sum_of([[2]], "float32")
        place.give([np.ones(2, np.float32)])
        if slot.rank == 1:
            for link in slot._links:
                link.close()
            return "left"
        with pytest.raises(LostNeighbour, match="has ended"):
            place.take()
        return "told"

    assert _on_each(3, leave) == ["told", "left", "told"]


def test_slots_that_cannot_reach_each_other_are_told_so_all_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if str(address).endswith("-1"):  # as in containers of their own
            raise ConnectionRefusedError(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(neighbours, "_WAIT_SECONDS", 0.5)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda rank, totals: join(rank, [0] * 3, totals), range(3), _totals(3))) == [None] * 3


def test_another_user_of_the_host_is_not_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    users = iter([os.getuid() + 1])
    monkeypatch.setattr(neighbours, "_user", lambda link: next(users, os.getuid()))
    monkeypatch.setattr(neighbours, "_WAIT_SECONDS", 0.5)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda rank, totals: join(rank, [0] * 2, totals), range(2), _totals(2))) == [None] * 2
