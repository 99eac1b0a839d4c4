"""The blade of a leaf: its outline, its greens and veins, and places on it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter

from slotwise.sources.demo.compositions import Colour, Point

_POINTS = 60


@dataclass
class Blade:
    """A leaf that is being drawn; the picture has the blade's colours everywhere, and `cut_out` leaves what is inside its outline."""

    image: Image.Image
    rng: random.Random
    centre: Point
    long: float
    """Half the length, in pixels."""
    broad: float
    """Half the width as a share of `long`."""
    turn: float
    """Direction of the tip, in radians."""
    waves: float
    """Depth of the margin's waves, as a share of `long`."""
    severity: float
    """About 1; how much of an illness shows."""

    @property
    def draw(self) -> ImageDraw.ImageDraw:
        return ImageDraw.Draw(self.image)

    def at(self, angle: float, reach: float) -> Point:
        """The point in a direction from the centre, counted from the tip; reach 1 is on the margin."""
        wave = 1 + self.waves * math.sin(11 * angle + 3 * self.turn)
        along = reach * self.long * wave * math.cos(angle)
        # Broad at the stalk, pointed at the tip.
        across = reach * self.long * self.broad * wave * math.sin(angle) * (1 - 0.35 * math.cos(angle))
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        return self.centre[0] + along * cos - across * sin, self.centre[1] + along * sin + across * cos

    def anywhere(self, nearest: float = 0.0, farthest: float = 0.95) -> Point:
        """A random point of the blade, as likely in one place as in another; 0 is the centre and 1 the margin."""
        return self.at(self.rng.uniform(0, math.tau), math.sqrt(self.rng.uniform(nearest**2, farthest**2)))

    def times(self, fewest: int, most: int) -> range:
        """So many marks, by severity."""
        return range(max(1, round(self.rng.uniform(fewest, most) * self.severity)))

    def margin(self) -> list[Point]:
        return [self.at(math.tau * number / _POINTS, 1) for number in range(_POINTS)]

    def spot(self, at: Point, radius: float, colour: Colour) -> None:
        """A slightly oval spot; the radius is a share of `long`."""
        across, along = (radius * self.long * self.rng.uniform(0.8, 1.25) for _ in range(2))
        self.draw.ellipse((at[0] - across, at[1] - along, at[0] + across, at[1] + along), fill=colour)

    def soft(self, spots: list[tuple[Point, float]], colour: Colour, strength: float, blur: float) -> None:
        """Stains without edges; radius and blur are shares of `long`, strength is from 0 to 1."""
        mask = Image.new("L", self.image.size)
        draw = ImageDraw.Draw(mask)
        for (x, y), radius in spots:
            reach = radius * self.long
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=int(255 * strength))
        self.image.paste(colour, mask=mask.filter(ImageFilter.GaussianBlur(blur * self.long)))

    def veins(self, colour: Colour) -> None:
        tip, stalk = self.at(0, 0.95), self.at(math.pi, 1)
        self.draw.line((stalk, tip), fill=colour, width=max(1, round(0.04 * self.long)))
        for place in (-0.6, -0.3, 0.0, 0.3, 0.6):
            start = self.at(0 if place > 0 else math.pi, abs(place))
            for side in (-1, 1):
                self.draw.line((start, self.at(side * (1.25 - 0.9 * place), 0.85)), fill=colour)

    def cut_out(self, ground: Image.Image) -> Image.Image:
        """The blade on a ground of the same size, with its shadow."""
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).polygon(self.margin(), fill=255)
        shadow = mask.filter(ImageFilter.GaussianBlur(0.06 * self.long)).point([value // 2 for value in range(256)])
        ground.paste((40, 36, 40), mask=shadow)
        ground.paste(self.image, mask=mask)
        return ground
