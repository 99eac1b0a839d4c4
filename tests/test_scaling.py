"""The arithmetic behind `make bench` and `make scaling`."""

from __future__ import annotations

import pytest
from benchmarks.pairs import Claim, compare
from benchmarks.scaling import Costs, Link, Sum, Work, fit, on_network
from hypothesis import given
from hypothesis import strategies as st


def test_turns_are_interleaved_and_only_what_is_claimed_is_measured() -> None:
    order: list[str] = []
    rates = {"a": iter([1.0, 6.0, 8.0, 4.0]), "b": iter([1.0, 2.0, 2.0, 2.0]), "c": iter([9.0, 1.0, 4.0, 1.0])}

    def contestant(name: str) -> float:
        order.append(name)
        return next(rates[name])

    contestants = {name: (lambda name=name: contestant(name)) for name in ("a", "b", "c", "nobody's")}
    (ratio,) = compare(contestants, [Claim("a against the better of b and c", 2.5, "a", ("b", "c"))], pairs=3)
    assert order == ["a", "b", "c"] * 4
    # The first turn does not count; the others are 6 / 2, 8 / 4 and 4 / 2.
    assert (ratio.ratio, ratio.low, ratio.high, ratio.pairs, ratio.met) == (2.0, 2.0, 3.0, 3, False)


@given(latency=st.floats(1e-6, 1e-2), per_byte=st.floats(1e-11, 1e-7), sharing=st.floats(1e-6, 1e-3), per_shared_byte=st.floats(1e-11, 1e-9))
def test_a_fit_finds_the_costs_that_made_the_sums(latency: float, per_byte: float, sharing: float, per_shared_byte: float) -> None:
    costs = Costs(Link(latency, per_byte), Link(sharing, per_shared_byte))
    clusters = ((2, 1), (4, 1), (8, 1), (1, 2), (1, 4))
    found = fit([Sum(*cluster, size, costs.sum_seconds(*cluster, size)) for cluster in clusters for size in (1 << 10, 1 << 16, 1 << 24)])
    for cluster in ((16, 1), (4, 16)):
        assert found.sum_seconds(*cluster, 1 << 20) == pytest.approx(costs.sum_seconds(*cluster, 1 << 20), rel=1e-6)


@pytest.mark.parametrize(
    ("hosts", "slots_a_host", "size", "seconds"),
    [
        (2, 1, 1_000_000, 2 * (1e-3 + 0.5)),  # two steps of half the bytes
        (4, 1, 1_000_000, 6 * (1e-3 + 0.25)),
        (2, 1, 1_000, 1e-3 + 1e-3),  # few go around once
        (4, 1, 1_000, 3 * (1e-3 + 1e-3)),
        (4, 1, 0, 3e-3),
        (1, 1, 1_000_000, 0),
        (1, 8, 1_000_000, 8 * (1e-4 + 1e-2)),
        (4, 8, 1_000, 3 * (1e-3 + 1e-3) + 8 * (1e-4 + 1e-5)),
    ],
)
def test_hosts_sum_in_a_ring_of_two_rounds_of_parts_or_one_of_all_and_their_slots_add_up_before(hosts: int, slots_a_host: int, size: int, seconds: float) -> None:
    costs = Costs(step=Link(1e-3, 1e-6), slot=Link(1e-4, 1e-8))
    assert costs.sum_seconds(hosts, slots_a_host, size) == pytest.approx(seconds)


def test_a_network_adds_half_its_round_trip_and_its_bytes() -> None:
    memory = Link(1e-5, 1e-10)
    assert on_network(Costs(Link(1e-4, 1e-9), memory), 8, 100e-6) == Costs(Link(pytest.approx(1.5e-4), pytest.approx(2e-9)), memory)


def test_speedup_is_that_of_the_arithmetic_where_sums_cost_nothing() -> None:
    work = Work(images_per_second=100, gradient=(1_000_000, 20_000), statistics=(32, 64), batch_size=128)
    free = Link(0, 0)
    assert work.speedup(16, 1, Costs(free, free)) == work.speedup(4, 4, Costs(free, free)) == pytest.approx(16)
    assert work.step_seconds(1, 1, Costs(Link(1, 1), Link(1, 1))) == pytest.approx(1.28)
    # 1.28 s over 2 slots, two steps of 1 s of latency for each part of the gradient, one for each of four sums of statistics.
    assert work.step_seconds(2, 1, Costs(Link(1, 0), free)) == pytest.approx(0.64 + 4 + 4)
