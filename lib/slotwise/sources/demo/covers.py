"""Book covers drawn with Pillow: they hint at their category, and lie about it often enough to be worth learning."""

from __future__ import annotations

import colorsys
import io
import random
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from slotwise.sources.demo.categories import category_of
from slotwise.sources.demo.compositions import COMPOSITIONS, Colour, Stage
from slotwise.sources.demo.photo import like_a_photo
from slotwise.sources.demo.styles import STYLES, Style
from slotwise.sources.demo.words import author, title_of

# How often a cover departs from its category: wholly (it looks like another genre), in its palette, or in what it shows.
# Tuned so that a small CNN on 60 covers a class ends between 60 and 85 % of 12 classes; nothing can learn them all.
_OTHER_GENRE = 0.15
_OTHER_PALETTE = 0.18
_OTHER_COMPOSITION = 0.18
_HUE_JITTER = 14.0
_SIZES = ((200, 300), (208, 320), (256, 384), (300, 420), (400, 600))
_SIZE_WEIGHTS = (50, 20, 15, 10, 5)


def natural_size(book_id: str) -> tuple[int, int]:
    """Width and height, in pixels, of the cover as published."""
    return random.Random(f"size/{book_id}").choices(_SIZES, _SIZE_WEIGHTS)[0]


def draw_cover(book_id: str, category: str, seed: int, size: tuple[int, int] = (200, 300)) -> Image.Image:
    """Draws the cover of a book; the same arguments give the same pixels.

    Args:
        book_id: any text; decides the title and everything left to chance.
        category: one of CATEGORIES; any other looks like a category of its own choice.
        seed: seed of the whole drawing.
        size: width and height in pixels.

    Returns:
        An RGB image.
    """
    rng = random.Random(f"cover/{seed}/{category}/{book_id}")
    style = STYLES.get(category) or _any_style(rng)
    if rng.random() < _OTHER_GENRE:
        style = _any_style(rng)
    palette = _any_style(rng) if rng.random() < _OTHER_PALETTE else style
    ground, colours = _colours(rng, palette)
    image = _background(rng, ground, colours[-1], size)
    _compose(rng, image, style, colours)
    _disturb_with_stickers(rng, image)
    image = like_a_photo(rng, image)
    _letter(rng, image, style, book_id)
    return image


def cover_jpeg(book_id: str, category: str, seed: int) -> bytes:
    """The cover at its natural size as a JPEG file."""
    encoded = io.BytesIO()
    draw_cover(book_id, category, seed, natural_size(book_id)).save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


def _any_style(rng: random.Random) -> Style:
    return rng.choice(list(STYLES.values()))


def _colours(rng: random.Random, style: Style) -> tuple[Colour, list[Colour]]:
    """The ground and four colours to draw with, all around the style's own."""

    def near(hue: float, saturation: float, brightness: float) -> Colour:
        hue = (hue + rng.gauss(0, _HUE_JITTER)) / 360 % 1
        saturation = min(1.0, max(0.0, saturation + rng.gauss(0, 0.12)))
        brightness = min(1.0, max(0.05, brightness + rng.gauss(0, 0.12)))
        red, green, blue = colorsys.hsv_to_rgb(hue, saturation, brightness)
        return int(255 * red), int(255 * green), int(255 * blue)

    ground = near(style.hue, style.saturation, style.brightness)
    against = 0.25 if style.brightness > 0.6 else 0.85
    mixed = [near(style.accent, 0.65, 0.5 + against / 2), near(style.hue, style.saturation, against), near(style.accent, 0.4, against)]
    return ground, [*mixed, near(style.hue, style.saturation, (style.brightness + against) / 2)]


def _background(rng: random.Random, ground: Colour, other: Colour, size: tuple[int, int]) -> Image.Image:
    """The ground colour fading towards another one."""
    fade = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize(size)
    strength = rng.uniform(0.1, 0.6)
    mask = fade.point([int(value * strength) for value in range(256)])
    return Image.composite(Image.new("RGB", size, other), Image.new("RGB", size, ground), mask)


def _compose(rng: random.Random, image: Image.Image, style: Style, colours: Sequence[Colour]) -> None:
    name = rng.choice(style.compositions)
    if rng.random() < _OTHER_COMPOSITION:
        name = rng.choice(list(COMPOSITIONS))
    width, height = image.size
    centre = (width * rng.uniform(0.3, 0.7), height * rng.uniform(0.4, 0.7))
    COMPOSITIONS[name](Stage(ImageDraw.Draw(image), rng, colours, width, height, centre, rng.uniform(0.7, 1.25)))


def _disturb_with_stickers(rng: random.Random, image: Image.Image) -> None:
    """Prize medals and price bands, which say nothing about the book."""
    draw, (width, height) = ImageDraw.Draw(image), image.size
    if rng.random() < 0.25:
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.08, 0.16) * width
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_any_colour(rng))
    if rng.random() < 0.25:
        top = rng.uniform(0, 0.9) * height
        draw.rectangle((0, top, width, top + rng.uniform(0.04, 0.12) * height), fill=_any_colour(rng))


def _letter(rng: random.Random, image: Image.Image, style: Style, book_id: str) -> None:
    width, height = image.size
    title = title_of(book_id) if _is_demo_id(book_id) else book_id
    title = _as_the_font_has_it(title)
    text = _broken_into_lines(title.upper() if style.upper else title, characters=max(6, int(1.5 / style.letters)))
    colour = (250, 248, 240) if _luma(image) < 128 else (20, 20, 28)
    font = _font(max(8, int(style.letters * width * rng.uniform(0.8, 1.15))))
    anchor = {"top": 0.06, "middle": 0.4, "bottom": 0.68}[style.at] + rng.uniform(-0.03, 0.08)
    draw = ImageDraw.Draw(image)
    draw.multiline_text((width / 2, anchor * height), text, font=font, fill=colour, anchor="ma", align="center")
    draw.text((width / 2, 0.95 * height), _as_the_font_has_it(author(rng)), font=_font(max(8, width // 14)), fill=colour, anchor="ms")


def _is_demo_id(book_id: str) -> bool:
    try:
        category_of(book_id)
    except KeyError:
        return False
    return True


def _as_the_font_has_it(text: str) -> str:
    """Pillow's built-in font has letters without accents only."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _broken_into_lines(text: str, characters: int) -> str:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > characters:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _luma(image: Image.Image) -> float:
    return float(image.resize((1, 1), Image.Resampling.BOX).convert("L").getpixel((0, 0)))  # type: ignore[arg-type]


def _any_colour(rng: random.Random) -> Colour:
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)


@lru_cache(maxsize=128)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
