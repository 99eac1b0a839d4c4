"""The arithmetic behind `make bench` and `make scaling`."""

from __future__ import annotations

import pytest
from benchmarks.pairs import Claim, compare
from benchmarks.scaling import Link, Sum, Work, fit, on_network
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


@given(latency=st.floats(1e-6, 1e-2), per_byte=st.floats(1e-11, 1e-7))
def test_a_fit_finds_the_link_that_made_the_sums(latency: float, per_byte: float) -> None:
    link = Link(latency, per_byte)
    sums = [Sum(slots, size, link.sum_seconds(slots, size)) for slots in (2, 4, 8) for size in (1 << 10, 1 << 16, 1 << 24)]
    found = fit(sums)
    assert found.sum_seconds(16, 1 << 20) == pytest.approx(link.sum_seconds(16, 1 << 20), rel=1e-6)


@pytest.mark.parametrize(
    ("slots", "size", "seconds"),
    [
        (2, 1_000_000, 2 * (1e-3 + 0.5)),  # two steps of half the bytes
        (4, 1_000_000, 6 * (1e-3 + 0.25)),
        (2, 1_000, 1e-3 + 1e-3),  # few go around once
        (4, 1_000, 3 * (1e-3 + 1e-3)),
        (4, 0, 3e-3),
    ],
)
def test_a_ring_takes_two_rounds_of_parts_or_one_of_all(slots: int, size: int, seconds: float) -> None:
    assert Link(1e-3, 1e-6).sum_seconds(slots, size) == pytest.approx(seconds)


def test_a_network_adds_half_its_round_trip_and_its_bytes() -> None:
    assert on_network(Link(1e-4, 1e-9), 8, 100e-6) == Link(pytest.approx(1.5e-4), pytest.approx(2e-9))


def test_speedup_is_that_of_the_arithmetic_where_sums_cost_nothing() -> None:
    work = Work(images_per_second=100, gradient=(1_000_000, 20_000), statistics=(32, 64), batch_size=128)
    assert work.speedup(16, Link(0, 0)) == pytest.approx(16)
    assert work.step_seconds(1, Link(1, 1)) == pytest.approx(1.28)
    # 1.28 s over 2 slots, two steps of 1 s of latency for each part of the gradient, one for each of four sums of statistics.
    assert work.step_seconds(2, Link(1, 0)) == pytest.approx(0.64 + 4 + 4)
