"""What ten states of health look like on a leaf: a function each, and a table by PlantVillage's names of tomato classes.

Hughes and Salathé, "An open access repository of images on plant health", 2015, has the names and the real pictures.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from slotwise.sources.demo.compositions import Colour
from slotwise.sources.demo.leaves.blade import Blade

_YELLOW: Colour = (196, 178, 62)
_BROWN: Colour = (96, 64, 36)
_DARK: Colour = (52, 40, 28)
_TAN: Colour = (168, 138, 96)
_GREY: Colour = (176, 172, 160)


def bacterial_spot(blade: Blade) -> None:
    """Many tiny dark spots, the tissue between them turning yellow here and there."""
    blade.soft([(blade.anywhere(), 0.12) for _ in blade.times(1, 4)], _YELLOW, 0.5, 0.08)
    for _ in blade.times(25, 60):
        blade.spot(blade.anywhere(), blade.rng.uniform(0.012, 0.03), _DARK)


def early_blight(blade: Blade) -> None:
    """A few large spots of concentric rings in a yellow halo."""
    for _ in blade.times(2, 6):
        at, radius = blade.anywhere(), blade.rng.uniform(0.09, 0.19)
        blade.soft([(at, 1.5 * radius)], _YELLOW, 0.8, 0.04)
        for part, colour in ((1.0, _BROWN), (0.75, _TAN), (0.55, _BROWN), (0.3, _DARK)):
            blade.spot(at, part * radius, colour)


def late_blight(blade: Blade) -> None:
    """Dark patches without a form that come in from the margin, pale around."""
    for _ in blade.times(1, 4):
        x, y = blade.anywhere(nearest=0.6, farthest=1.0)
        reach = 0.2 * blade.long
        parts = [((x + blade.rng.uniform(-reach, reach), y + blade.rng.uniform(-reach, reach)), blade.rng.uniform(0.1, 0.28)) for _ in range(5)]
        blade.soft([(at, 1.25 * radius) for at, radius in parts], (140, 150, 104), 0.8, 0.05)
        blade.soft(parts, (66, 56, 44), 0.95, 0.03)


def leaf_mold(blade: Blade) -> None:
    """Pale yellow stains without edges, some brown in the middle."""
    places = [(blade.anywhere(), blade.rng.uniform(0.1, 0.22)) for _ in blade.times(4, 9)]
    blade.soft(places, _YELLOW, 0.85, 0.1)
    blade.soft([(at, 0.35 * radius) for at, radius in places[::2]], _BROWN, 0.6, 0.05)


def septoria(blade: Blade) -> None:
    """Many small round spots, grey within a dark rim."""
    _rimmed_spots(blade, blade.times(14, 34), (0.03, 0.06), _DARK, (0.6, _GREY))


def spider_mites(blade: Blade) -> None:
    """Very fine pale stippling all over, the green fading."""
    blade.soft([(blade.anywhere(), 0.4) for _ in blade.times(1, 3)], _TAN, 0.3, 0.2)
    blade.draw.point([blade.anywhere() for _ in blade.times(150, 400)], fill=(206, 204, 140))


def target_spot(blade: Blade) -> None:
    """Brown spots of middling size with a pale centre."""
    _rimmed_spots(blade, blade.times(6, 16), (0.045, 0.1), _BROWN, (0.55, _TAN))


def curl(blade: Blade) -> None:
    """A narrow, wavy leaf with a yellow margin."""
    blade.broad *= 0.75
    blade.waves += 0.07 * blade.severity
    margin = blade.margin()
    blade.soft([(at, 0.14) for at in margin[::2]], _YELLOW, 0.45 + 0.35 * blade.severity, 0.06)


def mosaic(blade: Blade) -> None:
    """Light and dark green in patches."""
    cells = Image.frombytes("L", (9, 9), blade.rng.randbytes(81)).resize(blade.image.size, Image.Resampling.BICUBIC)
    steep = cells.point([min(255, max(0, round((value - 128) * 4 * blade.severity))) for value in range(256)])
    blade.image.paste((158, 184, 84), mask=steep)
    blade.waves += 0.03


def healthy(blade: Blade) -> None:
    """No sign of anything."""


def _rimmed_spots(blade: Blade, spots: range, radii: tuple[float, float], rim: Colour, inner: tuple[float, Colour]) -> None:
    """Spots of one colour with a smaller one of another in each; the inner one's size is a share of the outer's."""
    share, colour = inner
    for _ in spots:
        at, radius = blade.anywhere(), blade.rng.uniform(*radii)
        blade.spot(at, radius, rim)
        blade.spot(at, share * radius, colour)


SIGNS: dict[str, Callable[[Blade], None]] = {
    "Tomato___Bacterial_spot": bacterial_spot,
    "Tomato___Early_blight": early_blight,
    "Tomato___Late_blight": late_blight,
    "Tomato___Leaf_Mold": leaf_mold,
    "Tomato___Septoria_leaf_spot": septoria,
    "Tomato___Spider_mites Two-spotted_spider_mite": spider_mites,
    "Tomato___Target_Spot": target_spot,
    "Tomato___Tomato_Yellow_Leaf_Curl_Virus": curl,
    "Tomato___Tomato_mosaic_virus": mosaic,
    "Tomato___healthy": healthy,
}
