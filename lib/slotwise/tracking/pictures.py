"""Pictures of a training as PNG, drawn by Pillow alone: a slot does without matplotlib, which takes a second to load."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

SAMPLES = 25
"""Images of a grid."""

_GAP = 4
_SMALLEST_SIDE = 64
_LONGEST_SIDE = 160
_WIDTH = 640
_NAMED_CLASSES = 25
_NAME_LETTERS = 24
_MOST = np.array([8, 48, 107])  # the dark end of the colours; the other is white


class Picture(NamedTuple):
    """A PNG file and its size in pixels."""

    png: bytes
    width: int
    height: int


def grid(images: npt.NDArray[np.generic]) -> Picture:
    """The first images of a batch, side by side.

    Args:
        images: 0 to 255 in any type, [images, height, width, 1 or 3].
    """
    pixels = np.clip(np.round(images[:SAMPLES].astype(np.float32)), 0, 255).astype(np.uint8)
    height, width = pixels.shape[1:3]
    factor = min(max(1, math.ceil(_SMALLEST_SIDE / min(height, width))), max(1, _LONGEST_SIDE // max(height, width)))
    columns = math.ceil(math.sqrt(len(pixels)))
    rows = math.ceil(len(pixels) / columns)
    across, down = width * factor + _GAP, height * factor + _GAP
    sheet = Image.new("RGB", (columns * across - _GAP, rows * down - _GAP), "white")
    for number, array in enumerate(pixels):
        image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).convert("RGB")
        sheet.paste(image.resize((width * factor, height * factor), Image.Resampling.NEAREST), (number % columns * across, number // columns * down))
    return _saved(sheet)


def confusion_matrix(counts: npt.NDArray[np.int64], names: Sequence[str]) -> Picture:
    """A confusion matrix: a row for each true class, a column for each answer, the darker the larger its share of the row.

    Args:
        counts: images, [true class, answer].
        names: of the classes; up to 25 are written beside the rows, with their counts in the cells.
    """
    classes = len(names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cell = max(4, _WIDTH // classes // 2 * 2)
    cell = min(cell, 48)
    colours = np.round(255 - shares[:, :, None] * (255 - _MOST)).astype(np.uint8)
    cells = Image.fromarray(colours).resize((classes * cell, classes * cell), Image.Resampling.NEAREST)
    if classes > _NAMED_CLASSES:
        return _saved(cells)
    font = ImageFont.load_default(12)
    labels = [f"{name[:_NAME_LETTERS]} {number}" for number, name in enumerate(names)]
    left, top = math.ceil(max(font.getlength(label) for label in labels)) + 10, 20
    sheet = Image.new("RGB", (left + classes * cell, top + classes * cell), "white")
    sheet.paste(cells, (left, top))
    draw = ImageDraw.Draw(sheet)
    for number, label in enumerate(labels):
        middle = number * cell + cell // 2
        draw.text((left - 5, top + middle), label, "black", font, anchor="rm")
        draw.text((left + middle, top // 2), str(number), "black", font, anchor="mm")
        for answer in np.flatnonzero(counts[number]):
            colour = "white" if shares[number, answer] > 0.5 else "black"
            draw.text((left + int(answer) * cell + cell // 2, top + middle), str(counts[number, answer]), colour, font, anchor="mm")
    return _saved(sheet)


def _saved(sheet: Image.Image) -> Picture:
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return Picture(file.getvalue(), sheet.width, sheet.height)
