"""A training in 16 bits on a machine that is slower in them says so, once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from slotwise.engines import arithmetic
from slotwise.engines.loop import _Training


@pytest.mark.parametrize(
    ("precision", "chief", "speed", "said"),
    [
        ("mixed_bfloat16", True, 0.53, "multiplies bfloat16 at 0.53 of the speed of float32: --precision float32"),
        ("mixed_float16", True, 0.02, "multiplies float16 at 0.02 of the speed of float32"),
        ("mixed_bfloat16", True, 1.0, ""),
        ("mixed_bfloat16", True, 2.3, ""),
        ("mixed_bfloat16", False, 0.53, ""),
        ("float32", True, 0.53, ""),
        ("float64", True, 0.53, ""),
    ],
)
def test_what_is_said_of_a_precision(precision: str, chief: bool, speed: float, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(arithmetic, "speed", {"bfloat16": speed, "float16": speed}.__getitem__)
    training = SimpleNamespace(settings=SimpleNamespace(precision=precision), slots=SimpleNamespace(is_chief=chief))
    _Training._judge_precision(training)  # type: ignore[arg-type]
    output = capsys.readouterr().out
    assert said in output
    assert bool(output) == bool(said)
