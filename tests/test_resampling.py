"""Lanczos by vector instructions against Pillow's own, and Pillow's where there are none."""

from __future__ import annotations

import platform
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from slotwise import resampling
from slotwise.resampling import resampled

SIDES = st.integers(1, 700)


def drawn(mode: str, width: int, height: int, low: int, high: int, seed: int) -> Image.Image:
    """Shapes of about eight pixels; between `low` and `high`, but for what their own enlarging overshoots."""
    values = np.random.default_rng(seed).integers(low, high, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def difference(picture: Image.Image, size: tuple[int, int]) -> np.ndarray:
    found = resampled(picture, size)
    assert (found.mode, found.size) == (picture.mode, size)
    expected = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.abs(np.asarray(found, np.int64) - np.asarray(expected, np.int64))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["RGB", "L"]), SIDES, SIDES, st.integers(1, 200), st.integers(1, 200), st.integers(0, 99))
def test_pictures_are_those_of_pillow(mode: str, width: int, height: int, to_width: int, to_height: int, seed: int) -> None:
    assert difference(drawn(mode, width, height, 80, 176, seed), (to_width, to_height)).max() <= 2


@pytest.mark.parametrize("size", [(150, 100), (40, 300), (300, 40)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_black_and_white_are_cut_off_alike(mode: str, size: tuple[int, int]) -> None:
    found = difference(drawn(mode, 333, 217, 0, 256, 3), size)
    assert found.mean() < 0.5


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_a_flat_colour_stays_what_it_is(value: int) -> None:
    for size in ((7, 3), (150, 150), (1000, 2)):
        assert resampled(Image.new("RGB", (400, 601), (value, 9, value)), size).getcolors() == [(size[0] * size[1], (value, 9, value))]


@pytest.mark.skipif(resampling.Resizer is None, reason="no wheel of cykooz-resizer for this processor")
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_processor_without_the_instructions_gets_the_same_pictures(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from cykooz_resizer import CpuExtensions

    class Plain(resampling.Resizer):
        def __init__(self) -> None:
            super().__init__()
            self.cpu_extensions = CpuExtensions.none

    picture, sizes = drawn(mode, 333, 217, 0, 256, 3), [(150, 100), (40, 300), (300, 40)]
    expected = [resampled(picture, size) for size in sizes]
    monkeypatch.setattr(resampling, "Resizer", Plain)
    assert [resampled(picture, size) for size in sizes] == expected


def test_the_lock_brings_vector_instructions_where_there_are_any() -> None:
    assert (resampling.Resizer is not None) == (sys.platform == "darwin" or platform.machine() == "x86_64")


def test_without_vector_instructions_pillow_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "Resizer", None)
    assert difference(drawn("RGB", 400, 600, 0, 256, 4), (150, 100)).max() == 0
