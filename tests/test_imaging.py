"""Any file becomes one RGB JPEG of the wanted size, or a reason; nothing raises."""

from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageStat

from slotwise.contracts.catalogue import Status
from slotwise.imaging import ImageFailure, NormalisedImage, normalise
from slotwise.sources.demo.faults import huge_png

SIZE = {"height": 40, "width": 30, "max_pixels": 10_000_000}


def picture(width: int = 90, height: int = 120) -> Image.Image:
    """Left half red, right half blue, with a green band at the top."""
    image = Image.new("RGB", (width, height), (200, 30, 30))
    image.paste((30, 30, 200), (width // 2, 0, width, height))
    image.paste((30, 200, 30), (0, 0, width, height // 4))
    return image


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def result(data: bytes, **changes: int) -> NormalisedImage:
    found = normalise(data, **{**SIZE, **changes})
    assert isinstance(found, NormalisedImage), found
    return found


def pixels(found: NormalisedImage) -> np.ndarray:
    image = Image.open(io.BytesIO(found.image))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    return np.asarray(image).astype(int)


def assert_is_the_picture(found: NormalisedImage, tolerance: int = 25) -> None:
    shown = pixels(found)
    assert shown.shape == (40, 30, 3)
    for at, colour in {(30, 5): (200, 30, 30), (30, 25): (30, 30, 200), (3, 15): (30, 200, 30)}.items():
        assert np.abs(shown[at] - colour).max() <= tolerance, (at, shown[at])


def alpha_picture(mode: str) -> Image.Image:
    image = picture().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 254))
    return image.convert(mode)


KINDS = {
    "jpeg": (encoded(picture(), "JPEG", quality=95), "JPEG", "RGB"),
    "jpeg large, scaled decoding": (encoded(picture(900, 1200), "JPEG", quality=90), "JPEG", "RGB"),
    "jpeg progressive": (encoded(picture(30, 40), "JPEG", progressive=True, quality=95, subsampling=0), "JPEG", "RGB"),
    "jpeg cmyk": (encoded(picture().convert("CMYK"), "JPEG", quality=95), "JPEG", "CMYK"),
    "png": (encoded(picture(), "PNG"), "PNG", "RGB"),
    "png palette": (encoded(picture().quantize(8), "PNG"), "PNG", "P"),
    "png rgba": (encoded(alpha_picture("RGBA"), "PNG"), "PNG", "RGBA"),
    "gif": (encoded(picture().quantize(8), "GIF"), "GIF", "P"),
    "animated gif": (encoded(picture(), "GIF", save_all=True, append_images=[Image.new("RGB", (90, 120))]), "GIF", "P"),
    "webp": (encoded(picture(), "WEBP", quality=95), "WEBP", "RGB"),
    "webp rgba": (encoded(alpha_picture("RGBA"), "WEBP", lossless=True), "WEBP", "RGBA"),
    "bmp": (encoded(picture(), "BMP"), "BMP", "RGB"),
    "tiff": (encoded(picture(), "TIFF"), "TIFF", "RGB"),
    "tiff lzw": (encoded(picture(), "TIFF", compression="tiff_lzw"), "TIFF", "RGB"),
    "enlarged": (encoded(picture(16, 20), "PNG"), "PNG", "RGB"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_images_show_the_same_picture(kind: str) -> None:
    data, form, mode = KINDS[kind]
    found = result(data)
    assert_is_the_picture(found)
    assert (found.source_format, found.source_mode, found.source_bytes) == (form, mode, len(data))
    assert found == result(data), "the same bytes give the same result"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(orientation: int, form: str) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the Transpose that a viewer will reverse
    image = picture()
    stored = image if orientation == 1 else image.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[274] = orientation
    options = {"quality": 95} if form in ("JPEG", "WEBP") else {}
    found = result(encoded(stored, form, exif=exif, **options))
    assert_is_the_picture(found)
    assert (found.source_width, found.source_height) == stored.size or form == "TIFF"


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_becomes_rgb(mode: str) -> None:
    shown = pixels(result(encoded(Image.new("L", (50, 50), 255).convert(mode), "PNG")))
    assert shown.min() >= 253


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_shown_on_white(mode: str) -> None:
    clear = Image.new("RGBA", (50, 50), (0, 0, 0, 0)).convert(mode)
    assert pixels(result(encoded(clear, "PNG"))).min() >= 253


def test_transparent_palette_and_colour_key_are_shown_on_white() -> None:
    palette = Image.new("P", (50, 50), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert pixels(result(encoded(palette, "PNG", transparency=0))).min() >= 253
    assert pixels(result(encoded(palette, "GIF", transparency=0))).min() >= 253
    assert pixels(result(encoded(Image.new("RGB", (50, 50), (1, 2, 3)), "PNG", transparency=(1, 2, 3)))).min() >= 253


def test_sixteen_bits_are_scaled_not_cut_off() -> None:
    grey = Image.fromarray(np.full((60, 50), 32896, dtype=np.uint16))
    for form in ("PNG", "TIFF"):
        found = result(encoded(grey, form))
        assert abs(found.brightness - 128) < 2
    floats = Image.fromarray(np.linspace(-3, 5, 3000, dtype=np.float32).reshape(60, 50))
    stretched = result(encoded(floats, "TIFF"))
    assert stretched.pixel_min <= 5
    assert stretched.pixel_max >= 250


@pytest.mark.parametrize(("detail", "enlarged"), [(1, 8), (2, 8), (2, 5), (2, 4), (2, 3), (2, 2)])
def test_scaled_decoding_keeps_the_quality_of_full_decoding(detail: int, enlarged: int) -> None:
    """Of a picture with detail of so many pixels of the wanted size."""
    noise = np.random.default_rng(1).normal(128, 40, (150 // detail, 100 // detail, 3))
    fine = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).resize((100 * enlarged, 150 * enlarged), Image.Resampling.BICUBIC)
    data = encoded(fine, "JPEG", quality=92)
    full = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((100, 150), Image.Resampling.LANCZOS)).astype(float)
    ours = pixels(result(data, height=150, width=100))
    psnr = 10 * np.log10(255**2 / ((full - ours) ** 2).mean())
    assert psnr > 35


def test_a_fitting_baseline_jpeg_keeps_its_bytes() -> None:
    data = encoded(picture(30, 40), "JPEG", quality=70)
    found = result(data)
    assert found.image == data
    shown = np.asarray(Image.open(io.BytesIO(data)))
    assert found.picture == hashlib.sha256(shown.tobytes()).hexdigest()
    assert (found.pixel_min, found.pixel_max) == (shown.min(), shown.max())
    exif = Image.Exif()
    exif[274] = 3
    assert result(encoded(picture(30, 40), "JPEG", exif=exif)).image != data
    assert result(data + b"trailing").image != data + b"trailing"
    assert result(encoded(picture(30, 40).convert("L"), "JPEG")).image[:2] == b"\xff\xd8"


def test_equal_pixels_have_equal_pictures_whatever_the_file() -> None:
    image = picture(30, 40)
    kinds = [encoded(image, form) for form in ("PNG", "BMP", "TIFF")]
    assert len({result(data).picture for data in kinds}) == 1
    assert result(encoded(picture(31, 40), "PNG")).picture != result(kinds[0]).picture


def test_measures() -> None:
    halves = Image.new("L", (30, 40), 0)
    halves.paste(200, (0, 0, 30, 20))
    found = result(encoded(halves, "PNG"))
    assert found.brightness == pytest.approx(100)
    assert found.contrast == pytest.approx(100)
    assert (found.pixel_min, found.pixel_max) == (0, 200)


@given(seed=st.integers(0, 2**32 - 1), values=st.integers(1, 256), grey=st.booleans())
def test_measures_are_those_of_pillow(seed: int, values: int, grey: bool) -> None:
    drawn = Image.fromarray(np.random.default_rng(seed).integers(0, values, (40, 30, 3), np.uint8))
    image = drawn.convert("L") if grey else drawn
    found = result(encoded(image, "PNG"), channels=1 if grey else 3)
    luma, extrema = ImageStat.Stat(image.convert("L")), np.asarray(image.getextrema())
    assert (found.brightness, found.contrast) == (luma.mean[0], luma.stddev[0])
    assert (found.pixel_min, found.pixel_max) == (extrema.min(), extrema.max())


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [
        (b"", Status.NOT_AN_IMAGE, "empty"),
        (b"<!doctype html><title>Sorry</title>", Status.NOT_AN_IMAGE, "markup"),
        (b"GIF but not really"[:3] + b"\x00" * 50, Status.NOT_AN_IMAGE, "JPEG"),
        (b"%PDF-1.7 ...", Status.NOT_AN_IMAGE, "TIFF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Status.NOT_AN_IMAGE, "markup"),
        (b"\x89PNG\r\n\x1a\n", Status.UNREADABLE, ""),
        (encoded(picture(), "JPEG")[:700], Status.UNREADABLE, "truncated"),
        (encoded(picture(), "PNG")[:150], Status.UNREADABLE, ""),
        (encoded(picture(), "WEBP")[:100], Status.UNREADABLE, ""),
        (encoded(picture().quantize(8), "GIF")[:-60], Status.UNREADABLE, ""),
        (encoded(picture(), "ICO"), Status.NOT_AN_IMAGE, "JPEG"),
        (huge_png(12_000, 9_000), Status.TOO_MANY_PIXELS, "12000 × 9000"),
    ],
)
def test_bad_files_are_values(data: bytes, status: Status, says: str) -> None:
    found = normalise(data, **SIZE)
    assert isinstance(found, ImageFailure)
    assert found.status is status, found
    assert says in found.error


def test_a_limit_above_pillows_own_is_the_one_that_counts() -> None:
    found = normalise(huge_png(14_000, 13_000), height=4, width=4, max_pixels=200_000_000)
    assert isinstance(found, NormalisedImage)
    assert found.pixel_max == 0


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x10\0\0\0WEBP", b"BM", b"II*\0", b"MM\0*"]))
def test_random_bytes_never_raise(noise: bytes, magic: bytes) -> None:
    found = normalise(magic + noise, **SIZE)
    assert isinstance(found, NormalisedImage) or (found.status in Status and found.error)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(KINDS)), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6), st.floats(0.02, 1))
def test_damaged_images_never_raise(kind: str, changes: list[tuple[float, int]], share: float) -> None:
    data = bytearray(KINDS[kind][0])
    for place, value in changes:
        data[int(place * len(data))] = value
    found = normalise(bytes(data[: int(share * len(data))]), **SIZE)
    assert isinstance(found, (NormalisedImage, ImageFailure))


def test_threads_get_what_one_gets() -> None:
    files = [data for data, _, _ in KINDS.values()] * 8 + [os.urandom(100)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda data: normalise(data, **SIZE), files)) == [normalise(data, **SIZE) for data in files]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF"])
def test_one_channel_is_grey(form: str) -> None:
    found = result(encoded(picture(), form), channels=1)
    shown = Image.open(io.BytesIO(found.image))
    assert (shown.format, shown.mode, shown.size) == ("JPEG", "L", (30, 40))
    assert np.abs(np.asarray(shown).astype(int) - np.asarray(picture(30, 40).convert("L"))).mean() < 8


def test_a_grey_jpeg_of_the_size_keeps_its_bytes_if_grey_is_wanted() -> None:
    data = encoded(picture(30, 40).convert("L"), "JPEG", quality=95)
    grey = result(data, channels=1)
    assert grey.image == data
    assert grey.picture == hashlib.sha256(np.asarray(Image.open(io.BytesIO(data))).tobytes()).hexdigest()
    assert result(data).image != data
