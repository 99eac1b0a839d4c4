"""Any image file to one RGB or grey JPEG of the dataset's size, with what is to be known about it; a bad file is a value."""

from __future__ import annotations

import hashlib
import io
import math
import threading
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from slotwise.contracts.catalogue import Status
from slotwise.image_pieces import excess
from slotwise.resampling import resampled

JPEG_QUALITY = 95
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)

# An image of 50 million pixels takes 200 MB and more while it is decoded. Many threads call in here: the large ones
# wait for each other, or a few of them together would fill the executor's memory.
_LARGE_PIXELS = 4_000_000
_one_large_image = threading.Lock()
_VALUES_AT_A_TIME = 1_000_000
_POWERS = np.arange(256) ** np.arange(3)[:, None]


@dataclass(frozen=True)
class NormalisedImage:
    """An image ready for a dataset.

    `image` is a JPEG, RGB or grey, of the wanted size. `picture` is the SHA-256 of the pixels it was made from (height × width ×
    channels uint8, row by row). `brightness` and `contrast` are mean and standard deviation of the luma, `pixel_min` and `pixel_max`
    extremes over the channels, 0 to 255. `source_*` describe the file that came in; sizes are in pixels before rotation.
    """

    image: bytes
    picture: str
    brightness: float
    contrast: float
    pixel_min: int
    pixel_max: int
    source_format: str
    source_mode: str
    source_width: int
    source_height: int
    source_bytes: int


@dataclass(frozen=True)
class ImageFailure:
    """Why a file gave no image: one of the decoding statuses, and a text for the reader of the record."""

    status: Status
    error: str


def normalise(data: bytes, *, height: int, width: int, max_pixels: int, channels: int = 3) -> NormalisedImage | ImageFailure:
    """Brings an image file to `height` × `width` (stretched, as the published works do), RGB or with 1 channel grey, JPEG.

    Format and size are read from the header first: nothing above `max_pixels` is decoded, nor what comes in more pieces than
    programs write (`slotwise.image_pieces`). Decoding takes about 20 bytes of memory a pixel, and some times those of the file.
    EXIF orientation is applied, transparency shown on white, only the first frame of an animation taken. A baseline JPEG that
    has the size and the channels already keeps its bytes. The same bytes give the same result.
    """
    read = _read(data, (width, height), "L" if channels == 1 else "RGB", max_pixels)
    if isinstance(read, ImageFailure):
        return read
    pixels = read.picture.tobytes()
    values = np.frombuffer(pixels, np.uint8)
    brightness, contrast = _mean_and_deviation(read.picture.convert("L"))
    return NormalisedImage(
        image=read.image,
        picture=hashlib.sha256(pixels).hexdigest(),
        brightness=brightness,
        contrast=contrast,
        pixel_min=int(values.min()),
        pixel_max=int(values.max()),
        source_format=read.form,
        source_mode=read.mode,
        source_width=read.width,
        source_height=read.height,
        source_bytes=len(data),
    )


def _mean_and_deviation(luma: Image.Image) -> tuple[float, float]:
    """What `ImageStat.Stat` gives for a grey picture of 8 bits, in a third of the time: its loops over 256 values are Python's."""
    count, total, squares = (_POWERS @ np.array(luma.histogram())).tolist()
    return total / count, math.sqrt((squares - total**2.0 / count) / count)


def normalised_jpeg(data: bytes, *, height: int, width: int, max_pixels: int, channels: int = 3) -> bytes | ImageFailure:
    """The `image` of `normalise` alone, without the time that measuring it takes.

    A JPEG that keeps its bytes is not even decoded: whoever decodes it will find what is damaged in it.
    """
    size, wanted = (width, height), "L" if channels == 1 else "RGB"
    if width * height <= max_pixels and not excess(data, max_pixels) and _can_be_kept(data, size, wanted):
        return data
    read = _read(data, size, wanted, max_pixels)
    return read if isinstance(read, ImageFailure) else read.image


def _can_be_kept(data: bytes, size: tuple[int, int], wanted: str) -> bool:
    """Whether a file is a JPEG that keeps its bytes, by its header."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as source:
            return _is_plain_jpeg(source, size, wanted, data) and _orientation(source) == 1
    except Exception:  # as many kinds as there are damages; `_read` gives them their names
        return False


class _Read(NamedTuple):
    """A picture of the wanted size and mode, its JPEG, and what the file was."""

    picture: Image.Image
    image: bytes
    form: str
    mode: str
    width: int
    height: int


def _read(data: bytes, size: tuple[int, int], wanted: str, max_pixels: int) -> _Read | ImageFailure:
    if too_much := excess(data, max_pixels):
        return ImageFailure(Status.UNREADABLE, too_much)
    # Our own limit, checked before any decoding, stands in for Pillow's, which would refuse some sizes the caller allows.
    Image.MAX_IMAGE_PIXELS = None
    try:
        return _picture(data, size, wanted, max_pixels)
    except UnidentifiedImageError:
        return _not_identified(data)
    # Pillow's decoders raise whatever the damage leads to: OSError, SyntaxError, ValueError, struct.error, KeyError and more.
    except Exception as error:
        return ImageFailure(Status.UNREADABLE, f"{type(error).__name__}: {error}"[:300])


def _not_identified(data: bytes) -> ImageFailure:
    if not data:
        return ImageFailure(Status.NOT_AN_IMAGE, "empty")
    if data.startswith(_MAGIC) or data[8:12] == b"WEBP":
        return ImageFailure(Status.UNREADABLE, "damaged header")
    if data.lstrip()[:1] == b"<":
        return ImageFailure(Status.NOT_AN_IMAGE, "a page or other markup")
    return ImageFailure(Status.NOT_AN_IMAGE, f"not {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}")


def _picture(data: bytes, size: tuple[int, int], wanted: str, max_pixels: int) -> _Read | ImageFailure:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as source:
        mode, (width, height) = source.mode, source.size
        if width * height > max_pixels:
            return ImageFailure(Status.TOO_MANY_PIXELS, f"{width} × {height} pixels are more than {max_pixels}")
        form = "JPEG" if source.format == "MPO" else str(source.format)
        if width * height > _LARGE_PIXELS:
            with _one_large_image:
                picture, kept = _decoded(source, size, wanted, data)
        else:
            picture, kept = _decoded(source, size, wanted, data)
    return _Read(picture, data if kept else _encoded(picture), form, mode, width, height)


def _decoded(source: Image.Image, size: tuple[int, int], wanted: str, data: bytes) -> tuple[Image.Image, bool]:
    """The picture of `size` (width, height) in the mode wanted, and whether the file can be kept as it is."""
    turn = _orientation(source) if source.format in ("JPEG", "MPO") else 1
    if _is_plain_jpeg(source, size, wanted, data) and turn == 1:
        source.load()
        return source.copy(), True
    unturned = size[::-1] if turn in _SIDEWAYS else size
    if source.format in ("JPEG", "MPO"):
        # JPEG decodes to 1/2, 1/4 or 1/8 for a fraction of the time; a third more than the wanted size leaves the resampling its say.
        source.draft(None, (-(-unturned[0] * 4 // 3), -(-unturned[1] * 4 // 3)))
    source.load()
    if turn == 1:  # other formats: TIFF turns itself while loading and then no longer says that it has to be turned
        turn = _orientation(source)
        unturned = size[::-1] if turn in _SIDEWAYS else size
    picture = _as_rgb(source)
    picture = resampled(picture if wanted == "RGB" else picture.convert(wanted), unturned)
    return (picture.transpose(_TURN[turn]) if turn in _TURN else picture), False


def _orientation(source: Image.Image) -> int:
    try:
        value = source.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF in an otherwise good image: as if there were none
        return 1
    return int(value) if value in _TURN else 1


def _is_plain_jpeg(source: Image.Image, size: tuple[int, int], wanted: str, data: bytes) -> bool:
    """Whether any JPEG decoder reads these bytes to just this picture: baseline, in this mode, of this size, with an end."""
    progressive = "progressive" in source.info or "progression" in source.info
    return source.format == "JPEG" and source.mode == wanted and source.size == size and not progressive and data.endswith(b"\xff\xd9")


def _as_rgb(source: Image.Image) -> Image.Image:
    if source.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in source.info:
        layer = source if source.mode == "RGBA" and "transparency" not in source.info else source.convert("RGBA")
        ground = Image.new("RGB", layer.size, (255, 255, 255))
        ground.paste(layer, mask=layer.getchannel("A"))
        return ground
    if source.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(source))).convert("RGB")
    return source if source.mode == "RGB" else source.convert("RGB")


def _eight_bits(grey: np.ndarray) -> np.ndarray:
    """Grey values of 16 bits, 32 bits or floats as uint8: 0 to 255 stay, 0 to 65,535 are divided, all else is stretched."""
    # Doubles for a part of the rows at a time: for all of a large picture they would take many times its own memory.
    rows = max(1, _VALUES_AT_A_TIME // max(1, grey.shape[1]))
    parts = [slice(start, start + rows) for start in range(0, len(grey), rows)]
    low = min(float(_doubles(grey[part]).min()) for part in parts)
    high = max(float(_doubles(grey[part]).max()) for part in parts)
    start, unit = 0.0, 1.0
    if grey.dtype == np.uint16 or (low >= 0 and 255 < high <= 65535):
        unit = 257.0
    elif low < 0 or high > 255:
        start, unit = low, (high - low) / 255 or 1.0
    shown = np.empty(grey.shape, np.uint8)
    for part in parts:
        shown[part] = np.clip(np.rint((_doubles(grey[part]) - start) / unit), 0, 255)
    return shown


def _doubles(grey: np.ndarray) -> np.ndarray:
    return np.nan_to_num(grey.astype(np.float64), posinf=0.0, neginf=0.0)


def _encoded(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return content.getvalue()
