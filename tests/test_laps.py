"""Stretches of time one after the other."""

from __future__ import annotations

import pytest

from slotwise.laps import Laps


def test_each_stretch_begins_where_the_last_one_ended() -> None:
    laps = Laps(began=100.0)
    laps.lap("a", at=103.0)
    laps.lap("b", at=103.5)
    assert laps.seconds == {"a": pytest.approx(3.0), "b": pytest.approx(0.5)}


def test_clocks_of_two_machines_that_differ_make_no_negative_time() -> None:
    laps = Laps(began=100.0)
    laps.lap("placing", at=99.0)
    laps.lap("imports", at=101.0)
    assert laps.seconds == {"placing": 0.0, "imports": pytest.approx(2.0)}
