"""What can stand on a drawn cover: one function for each composition, and a table of their names."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Stage:
    """Where a composition is drawn: sizes are in pixels, the centre is already shifted at random."""

    draw: ImageDraw.ImageDraw
    rng: random.Random
    colours: Sequence[Colour]
    width: int
    height: int
    centre: Point
    scale: float
    """About 1; half the shorter side times this is the natural radius."""

    @property
    def radius(self) -> float:
        return 0.36 * min(self.width, self.height) * self.scale

    def colour(self) -> Colour:
        return self.rng.choice(self.colours)

    def circle(self, at: Point, radius: float, fill: Colour | None, outline: Colour | None = None, width: int = 1) -> None:
        x, y = at
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill, outline=outline, width=width)


def bands(stage: Stage) -> None:
    y = stage.rng.uniform(0, 0.2) * stage.height
    while y < stage.height:
        thick = stage.rng.uniform(0.06, 0.14) * stage.height * stage.scale
        stage.draw.rectangle((0, y, stage.width, y + thick), fill=stage.colour())
        y += thick * stage.rng.uniform(1.4, 2.2)


def columns(stage: Stage) -> None:
    x = stage.rng.uniform(0, 0.2) * stage.width
    while x < stage.width:
        thick = stage.rng.uniform(0.05, 0.12) * stage.width * stage.scale
        stage.draw.rectangle((x, 0.2 * stage.height, x + thick, 0.95 * stage.height), fill=stage.colour())
        x += thick * stage.rng.uniform(1.4, 2.2)


def disc(stage: Stage) -> None:
    stage.circle(stage.centre, stage.radius, stage.colour())


def rings(stage: Stage) -> None:
    for part in (1.2, 0.9, 0.6, 0.3):
        stage.circle(stage.centre, stage.radius * part, None, stage.colour(), max(2, int(stage.radius * 0.12)))


def plate(stage: Stage) -> None:
    stage.circle(stage.centre, stage.radius * 1.1, stage.colours[0])
    stage.circle(stage.centre, stage.radius * 0.75, stage.colours[-1])
    for _ in range(stage.rng.randint(3, 7)):
        angle, reach = stage.rng.uniform(0, math.tau), stage.radius * stage.rng.uniform(0, 0.5)
        at = (stage.centre[0] + reach * math.cos(angle), stage.centre[1] + reach * math.sin(angle))
        stage.circle(at, stage.radius * 0.18, stage.colour())


def grid(stage: Stage) -> None:
    cells = stage.rng.randint(4, 7)
    side = stage.width / cells
    for row in range(int(0.25 * stage.height / side), int(stage.height / side) + 1):
        for column in range(cells):
            if stage.rng.random() < 0.6:
                x, y = column * side, row * side
                stage.draw.rectangle((x + 1, y + 1, x + 0.8 * side, y + 0.8 * side), fill=stage.colour())


def dots(stage: Stage) -> None:
    for _ in range(stage.rng.randint(18, 40)):
        at = (stage.rng.uniform(0, stage.width), stage.rng.uniform(0, stage.height))
        stage.circle(at, stage.rng.uniform(0.02, 0.07) * stage.width * stage.scale, stage.colour())


def diagonals(stage: Stage) -> None:
    step = stage.width * 0.3 * stage.scale
    x = -stage.height * 0.5 + stage.rng.uniform(0, step)
    while x < stage.width:
        thick = step * stage.rng.uniform(0.3, 0.6)
        lean = 0.5 * stage.height
        stage.draw.polygon([(x, stage.height), (x + thick, stage.height), (x + thick + lean, 0), (x + lean, 0)], fill=stage.colour())
        x += step


def mountains(stage: Stage) -> None:
    for layer in range(3):
        base = stage.height * (0.72 + 0.1 * layer)
        for _ in range(3):
            x, half = stage.rng.uniform(0, stage.width), stage.rng.uniform(0.25, 0.45) * stage.width * stage.scale
            peak = base - half * stage.rng.uniform(0.8, 1.4)
            stage.draw.polygon([(x - half, base), (x, peak), (x + half, base)], fill=stage.colours[layer % len(stage.colours)])
        stage.draw.rectangle((0, base, stage.width, stage.height), fill=stage.colours[layer % len(stage.colours)])


def frame(stage: Stage) -> None:
    for inset in (0.04, 0.09, 0.2):
        gap = inset * stage.width * stage.scale
        box = (gap, gap, stage.width - gap, stage.height - gap)
        stage.draw.rectangle(box, outline=stage.colour(), width=max(2, int(0.02 * stage.width)))


def portrait(stage: Stage) -> None:
    x, y = stage.centre
    r = stage.radius
    stage.draw.ellipse((x - 1.3 * r, y + 0.6 * r, x + 1.3 * r, y + 3 * r), fill=stage.colours[0])
    stage.draw.ellipse((x - 0.6 * r, y - 0.9 * r, x + 0.6 * r, y + 0.8 * r), fill=(224, 178, 148))
    stage.draw.chord((x - 0.65 * r, y - r, x + 0.65 * r, y + 0.4 * r), 180, 360, fill=stage.colours[-1])


def cross(stage: Stage) -> None:
    (x, y), r = stage.centre, stage.radius
    colour, arm = stage.colour(), 0.2 * stage.radius
    stage.draw.rectangle((x - arm, y - 1.3 * r, x + arm, y + 1.5 * r), fill=colour)
    stage.draw.rectangle((x - 0.9 * r, y - 0.6 * r, x + 0.9 * r, y - 0.6 * r + 2 * arm), fill=colour)


def waves(stage: Stage) -> None:
    length = stage.rng.uniform(0.3, 0.6) * stage.width
    for layer in range(5):
        y = stage.height * (0.4 + 0.13 * layer)
        points = [(x, y + 0.03 * stage.height * math.sin(math.tau * x / length + layer)) for x in range(0, stage.width + 8, 8)]
        fill = stage.colours[layer % len(stage.colours)]
        stage.draw.polygon([*points, (stage.width, stage.height), (0, stage.height)], fill=fill)


def skyline(stage: Stage) -> None:
    x = 0.0
    while x < stage.width:
        wide = stage.rng.uniform(0.08, 0.18) * stage.width
        top = stage.height * (1 - stage.rng.uniform(0.2, 0.6) * stage.scale)
        stage.draw.rectangle((x, top, x + wide, stage.height), fill=stage.colour())
        x += wide


def leaves(stage: Stage) -> None:
    for _ in range(stage.rng.randint(6, 12)):
        x, y = stage.rng.uniform(0, stage.width), stage.rng.uniform(0.2, 1) * stage.height
        angle, long = stage.rng.uniform(0, math.tau), 0.22 * stage.width * stage.scale
        dx, dy = long * math.cos(angle), long * math.sin(angle)
        points = [(x, y), (x + dx / 2 - dy / 4, y + dy / 2 + dx / 4), (x + dx, y + dy), (x + dx / 2 + dy / 4, y + dy / 2 - dx / 4)]
        stage.draw.polygon(points, fill=stage.colour())


def star(stage: Stage) -> None:
    (x, y), r, points = stage.centre, stage.radius * 1.2, stage.rng.choice((5, 6, 8, 12))
    turn = stage.rng.uniform(0, math.tau)
    spokes = [(r if i % 2 else 0.45 * r, turn + math.pi * i / points) for i in range(2 * points)]
    stage.draw.polygon([(x + reach * math.cos(a), y + reach * math.sin(a)) for reach, a in spokes], fill=stage.colour())


COMPOSITIONS: dict[str, Callable[[Stage], None]] = {
    "bands": bands,
    "columns": columns,
    "disc": disc,
    "rings": rings,
    "plate": plate,
    "grid": grid,
    "dots": dots,
    "diagonals": diagonals,
    "mountains": mountains,
    "frame": frame,
    "portrait": portrait,
    "cross": cross,
    "waves": waves,
    "skyline": skyline,
    "leaves": leaves,
    "star": star,
}
