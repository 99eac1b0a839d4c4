"""What makes a drawing look like a photograph of it."""

from __future__ import annotations

import random

from PIL import Image


def like_a_photo(rng: random.Random, image: Image.Image) -> Image.Image:
    """Light and shade over wide areas, then grain."""
    clouds = Image.frombytes("RGB", (4, 6), rng.randbytes(72)).resize(image.size, Image.Resampling.BILINEAR)
    image = Image.blend(image, clouds, rng.uniform(0.1, 0.3))
    half = (image.width // 2, image.height // 2)
    grain = Image.frombytes("RGB", half, rng.randbytes(3 * half[0] * half[1])).resize(image.size, Image.Resampling.NEAREST)
    return Image.blend(image, grain, rng.uniform(0.03, 0.12))
