"""A drawn leaf, with the signs of its class nearly always, and with marks that mean nothing."""

from __future__ import annotations

import io
import math
import random

from PIL import Image

from slotwise.sources.demo.compositions import Colour
from slotwise.sources.demo.leaves.blade import Blade
from slotwise.sources.demo.leaves.signs import SIGNS
from slotwise.sources.demo.photo import like_a_photo

# How often a leaf has the signs of another class: nothing can learn these.
_OTHER_SIGNS = 0.07
_GROUNDS: tuple[Colour, ...] = ((150, 140, 152), (128, 122, 120), (172, 166, 160), (112, 104, 112))


def draw_leaf(name: str, label: str, seed: int, side: int = 128) -> Image.Image:
    """Draws a leaf; the same arguments give the same pixels.

    Args:
        name: any text; decides everything left to chance.
        label: one of SIGNS.
        seed: seed of the whole drawing.
        side: width and height in pixels.

    Returns:
        An RGB image.

    Raises:
        KeyError: there is no such class.
    """
    rng = random.Random(f"leaf/{seed}/{label}/{name}")
    signs = SIGNS[label]
    if rng.random() < _OTHER_SIGNS:
        signs = rng.choice(list(SIGNS.values()))
    blade = _blade(rng, side)
    signs(blade)
    _dirt(blade)
    ground = Image.new("RGB", (side, side), _near(rng, rng.choice(_GROUNDS), 18))
    return like_a_photo(rng, blade.cut_out(ground))


def leaf_jpeg(name: str, label: str, seed: int, side: int = 128) -> bytes:
    """The leaf as a JPEG file."""
    encoded = io.BytesIO()
    draw_leaf(name, label, seed, side).save(encoded, "JPEG", quality=88)
    return encoded.getvalue()


def _blade(rng: random.Random, side: int) -> Blade:
    green = _near(rng, (74, 116, 56), 22)
    blade = Blade(
        image=Image.new("RGB", (side, side), green),
        rng=rng,
        centre=(side * rng.uniform(0.42, 0.58), side * rng.uniform(0.42, 0.58)),
        long=side * rng.uniform(0.34, 0.47),
        broad=rng.uniform(0.5, 0.8),
        turn=rng.uniform(0, math.tau),
        waves=rng.uniform(0.0, 0.06),
        severity=rng.uniform(0.35, 1.3),
    )
    blade.soft([(blade.anywhere(), 0.3) for _ in range(3)], _near(rng, green, 14), 0.6, 0.15)
    red, grass, blue = green
    blade.veins((red + 34, grass + 30, blue + 22))
    return blade


def _dirt(blade: Blade) -> None:
    """Specks and holes that a healthy leaf has, too."""
    for _ in range(blade.rng.randint(0, 5)):
        blade.spot(blade.anywhere(), blade.rng.uniform(0.012, 0.04), _near(blade.rng, (90, 80, 50), 40))


def _near(rng: random.Random, colour: Colour, by: int) -> Colour:
    red, green, blue = (min(255, max(0, part + rng.randint(-by, by))) for part in colour)
    return red, green, blue
