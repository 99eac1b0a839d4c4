"""Two hundred image files as an ill-meaning or a careless stranger would send them, drawn from a seed, and what may become of each."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from slotwise.contracts.catalogue import Status

BAD, NONE, LARGE = Status.UNREADABLE.value, Status.NOT_AN_IMAGE.value, Status.TOO_MANY_PIXELS.value
GOOD = "image"
"""What becomes of an image that can be read."""
MAX_PIXELS = 4_000_000
"""The limit under which these files are to be read."""
MAX_BYTES = 10_000_000


class Hostile(NamedTuple):
    """A file's name and bytes, and the ends that are right for it."""

    name: str
    data: bytes
    ends: frozenset[str]


@cache
def hostile_images(seed: int = 8) -> list[Hostile]:
    """The same files for the same seed; names have no place in a folder that is not their own."""
    draw = random.Random(seed)
    made = [Hostile(f"{number:03d} {name}", data, frozenset(ends)) for number, (name, data, ends) in enumerate(_all(draw))]
    assert len(made) >= 200
    assert all(len(hostile.data) <= MAX_BYTES for hostile in made)
    return made


def _all(draw: random.Random) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
    for part in (_cut_off, _damaged, _bombs, _costly, _polyglots, _wrong_kinds, _odd_encodings, _heavy_metadata):
        yield from part(draw)


def picture(draw: random.Random, width: int = 60, height: int = 80, mode: str = "RGB") -> Image.Image:
    """A smooth picture with some noise, so that every decoder has something to do."""
    noise = np.random.default_rng(draw.randrange(2**32)).integers(0, 40, (height, width, 3))
    ground = np.linspace(0, 200, width)[None, :, None] + np.zeros((height, 1, 3))
    return Image.fromarray((ground + noise).astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def _sound(draw: random.Random) -> dict[str, bytes]:
    """One sound file of each kind that is read."""
    image = picture(draw)
    return {
        "baseline.jpg": encoded(image, "JPEG"),
        "progressive.jpg": encoded(image, "JPEG", progressive=True),
        "plain.png": encoded(image, "PNG"),
        "palette.png": encoded(image.quantize(16), "PNG"),
        "plain.gif": encoded(image.quantize(16), "GIF"),
        "lossy.webp": encoded(image, "WEBP"),
        "lossless.webp": encoded(image, "WEBP", lossless=True),
        "plain.bmp": encoded(image, "BMP"),
        "plain.tiff": encoded(image, "TIFF"),
        "packed.tiff": encoded(image, "TIFF", compression="tiff_adobe_deflate"),
    }


def _cut_off(draw: random.Random) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
    for name, data in _sound(draw).items():
        for share in (0.001, 0.02, 0.1, 0.5, 0.8, 0.99):
            # The last hundredth of some formats is padding or an index, without which the picture is whole.
            ends = (BAD, NONE, GOOD) if share == 0.99 else (BAD, NONE)
            yield f"cut to {share:.1%} {name}", data[: max(1, int(share * len(data)))], ends


def _damaged(draw: random.Random) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
    for name, data in _sound(draw).items():
        for place in ("head", "middle", "everywhere"):
            changed = bytearray(data)
            stretch = {"head": (4, 40), "middle": (len(data) // 2, len(data) // 2 + 20), "everywhere": (0, len(data))}[place]
            for _ in range(12):
                changed[draw.randrange(*stretch)] = draw.randrange(256)
            yield f"damaged {place} {name}", bytes(changed), (BAD, NONE, LARGE, GOOD)


def _bombs(draw: random.Random) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
    """Small files that say they are huge, or are as large as they may be."""
    for side in (2_001, 30_000, 65_535, 2**31 - 1):
        yield f"bomb {side}.png", png(side, side, zlib.compress(bytes(1_000_000))), (LARGE, BAD)
    for side in (2_001, 30_000, 65_535):
        yield f"bomb {side}.gif", _gif(side, side), (LARGE,)
        yield f"bomb {side} frame beyond its screen.gif", _gif(8, 8, frame=(side, side)), (LARGE,)
        yield f"bomb {side}.tiff", _tiff({256: side, 257: side, 258: 8, 259: 1, 262: 1, 273: 8, 278: side, 279: 1}), (LARGE,)
        yield f"bomb {side}.jpg", _resized_jpeg(encoded(picture(draw), "JPEG"), side), (LARGE, BAD)
    for side in (2_001, 16_383):
        yield f"bomb {side}.webp", _webp_canvas(side), (LARGE, BAD)
    for side in (2_001, 30_000, 2**30):
        yield f"bomb {side}.bmp", _bmp(side, side, 24, 0, bytes(100)), (LARGE, BAD)
    yield "a million wide.png", png(4_000_000, 1, zlib.compress(bytes(4_000_001 * 3))), (GOOD, BAD)
    yield "nothing wide.png", png(0, 10, zlib.compress(b"")), (BAD, NONE)
    yield "less than nothing wide.bmp", _bmp(-20, 20, 24, 0, bytes(1200)), (BAD, LARGE)
    # As large as is allowed, in the forms that take the most memory while they are read.
    for mode in ("RGBA", "LA", "I;16"):
        channels = {"RGBA": 4, "LA": 2, "I;16": 2}[mode]
        kind = {"RGBA": (8, 6), "LA": (8, 4), "I;16": (16, 0)}[mode]
        yield f"full size {mode.replace(';', ' ')}.png", png(2_000, 2_000, zlib.compress(bytes(2_000 * (1 + 2_000 * channels))), *kind), (GOOD,)
    yield "full size float.tiff", encoded(Image.new("F", (2_000, 2_000), -1.5), "TIFF", compression="tiff_adobe_deflate"), (GOOD,)
    yield "full size integers.tiff", encoded(Image.new("I", (2_000, 2_000), 70_000), "TIFF", compression="tiff_adobe_deflate"), (GOOD,)
    yield "full size clear palette.gif", encoded(Image.new("P", (2_000, 2_000)), "GIF", transparency=0), (GOOD,)
    yield "full size CMYK progressive.jpg", encoded(Image.new("CMYK", (2_000, 2_000)), "JPEG", progressive=True), (GOOD,)
    yield "full size.webp", encoded(Image.new("RGBA", (2_000, 2_000)), "WEBP", lossless=True), (GOOD,)
    # What a picture of few pixels can hide behind.
    yield "tile larger than its picture.tiff", _large_tile(), (BAD,)
    yield "more data than pixels.png", png(8, 8, zlib.compress(bytes(60_000_000))), (GOOD, BAD)
    yield "run over the edge.bmp", _bmp(4_000_000, 1, 8, 1, b"\x00\x02\xff\xff" * 1000), (GOOD, BAD)


def _costly(draw: random.Random) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
    """Files within all sizes whose reading would take minutes."""
    yield "thousands of scans.jpg", _many_scans(2_000, 60_000), (BAD,)
    yield "hundreds of thousands of strips.tiff", _many_strips(1_200_000), (BAD,)
    yield "exif in crumbs.jpg", _after_start(encoded(picture(draw), "JPEG"), _segment(0xE1, b"Exif\x00\x00" + bytes(10)) * 450_000), (BAD,)
    yield "comments in crumbs.gif", _gif_comments(1_500_000), (BAD,)
    yield "a comment of ten megabytes.gif", _gif(8, 8, extension=b"\x21\xfe" + (b"\xff" + b"c" * 255) * 39_000 + b"\x00"), (BAD, GOOD)
    yield "a thousand frames.gif", encoded(picture(draw).quantize(8), "GIF", save_all=True, append_images=[picture(draw, 8, 8).quantize(4)] * 300), (GOOD,)
    yield "a profile in crumbs.jpg", _after_start(encoded(picture(draw), "JPEG"), _segment(0xE2, b"ICC_PROFILE\x00\x01\xff" + bytes(4)) * 100_000), (BAD, GOOD)
    yield "chunks without end.png", _chunks(encoded(picture(draw), "PNG"), [(b"tEXt", b"k%d\x00v" % number) for number in range(80_000)]), (BAD, GOOD)
    yield "directories in a circle.tiff", _circular_tiff(), (GOOD, BAD)


def _polyglots(draw: random.Random) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
    image = picture(draw)
    jpeg, png_, gif = encoded(image, "JPEG"), encoded(image, "PNG"), encoded(image.quantize(8), "GIF")
    script, archive = b"<script>alert(1)</script><?php system($_GET['c']); ?>", b"PK\x03\x04" + bytes(26)
    yield "script behind.jpg", jpeg + script, (GOOD,)
    yield "archive behind.jpg", jpeg + archive, (GOOD,)
    yield "script in a comment.jpg", _after_start(jpeg, _segment(0xFE, script)), (GOOD,)
    yield "script in text.png", _chunks(png_, [(b"tEXt", b"Comment\x00" + script)]), (GOOD,)
    yield "script behind.gif", gif + script, (GOOD,)
    yield "GIF89a=1; is also a script.gif", b"GIF89a=1;" + script, (BAD, NONE)
    yield "page with a picture.html.jpg", b"<html><!--" + jpeg + b"--></html>", (NONE,)
    yield "picture in a page.jpg", b"\n \t<svg onload='alert(1)'/>" + jpeg, (NONE,)
    yield "two pictures.jpg", jpeg + png_, (GOOD,)
    yield "jpeg called png.png", jpeg, (GOOD,)
    yield "png called jpg.jpg", png_, (GOOD,)
    yield "bitmap and script.bmp", _bmp(8, 8, 24, 0, bytes(192)) + script, (GOOD,)
    yield "RIFF of sound.webp", b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40), (NONE,)
    yield "start of a png, rest of a jpg.png", png_[:24] + jpeg, (BAD,)


def _wrong_kinds(draw: random.Random) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
    kinds = {
        "empty.jpg": b"",
        "one zero.png": b"\x00",
        "zeros.gif": bytes(5_000),
        "text.jpg": b"not an image\n" * 20,
        "page.jpg": b"<!doctype html><title>404</title>",
        "json.png": b'{"error": "gone"}',
        "drawing.png": b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><svg>&a;</svg>",
        "entities.png": b"<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><svg>&b;</svg>",
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(%pipe%id) (r) file\n",
        "pdf.jpg": b"%PDF-1.7\n1 0 obj << /OpenAction << /S /JavaScript >> >>",
        "archive.png": b"PK\x03\x04" + bytes(100),
        "gzipped.jpg": gzip.compress(encoded(picture(draw), "JPEG")),
        "gzip bomb.jpg": gzip.compress(bytes(20_000_000)),
        "pickle.png": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.",
        "program.gif": b"\x7fELF\x02\x01\x01" + bytes(100),
        "ppm.png": b"P6\n60000 60000\n255\n" + bytes(100),
        "xbm.png": b"#define w_width 60000\n#define w_height 60000\nstatic char w_bits[] = {\n0x00\n",
        "icon.bmp": encoded(picture(draw), "ICO"),
        "photoshop.tiff": b"8BPS\x00\x01" + bytes(100),
        "fits.tiff": b"SIMPLE  =                    T" + bytes(2_880),
        "avif.webp": b"\x00\x00\x00\x20ftypavif" + bytes(60),
        "jpeg2000.jpg": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(60),
        "utf16.jpg": "<html>".encode("utf-16"),
    }
    for name, data in kinds.items():
        yield name, data, (NONE,)
    for magic, name in ((b"\xff\xd8\xff", "jpg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"GIF89a", "gif"), (b"BM", "bmp"), (b"II*\x00", "tiff"), (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "webp")):
        yield f"noise behind its mark.{name}", magic + draw.randbytes(500), (BAD, NONE, LARGE, GOOD)


def _odd_encodings(draw: random.Random) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
    image = picture(draw)
    for mode, form in (("CMYK", "JPEG"), ("L", "JPEG"), ("YCbCr", "JPEG"), ("1", "PNG"), ("LA", "PNG"), ("I;16", "PNG"), ("1", "TIFF"), ("F", "TIFF"), ("I", "TIFF"), ("CMYK", "TIFF"), ("LAB", "TIFF"), ("RGBA", "GIF"), ("PA", "TIFF")):
        source = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257) if mode == "I;16" else image.convert("LA" if mode == "PA" else "RGB" if mode == "LAB" else mode)
        yield f"{mode.replace(';', ' ')}.{form.lower()}", encoded(source, form), (GOOD,)
    yield "not a number.tiff", encoded(Image.fromarray(np.array([[np.nan, np.inf], [-np.inf, 3e38]], np.float32)), "TIFF"), (GOOD,)
    yield "palette with holes.png", encoded(image.quantize(8), "PNG", transparency=bytes([0, 128, 255])), (GOOD,)
    yield "palette too short.png", _chunks(png(8, 8, zlib.compress(b"\x00" + b"\xff" * 8) * 1 + b"", 8, 3), [(b"PLTE", b"\x01\x02\x03")]), (GOOD, BAD)
    yield "colour key.png", encoded(image, "PNG", transparency=(1, 2, 3)), (GOOD,)
    yield "interlaced.png", _interlaced(), (GOOD, BAD)
    yield "animated.png", encoded(image, "PNG", save_all=True, append_images=[picture(draw)] * 3), (GOOD,)
    yield "animated.webp", encoded(image, "WEBP", save_all=True, append_images=[picture(draw)] * 3), (GOOD,)
    yield "pages.tiff", encoded(image, "TIFF", save_all=True, append_images=[picture(draw, 30, 10)] * 3), (GOOD,)
    for compression in ("tiff_lzw", "packbits", "jpeg", "tiff_lzma", "zstd"):
        yield f"{compression}.tiff", encoded(image, "TIFF", compression=compression), (GOOD,)
    for orientation in (3, 6, 8, 0, 9, 65_535):
        exif = Image.Exif()
        exif[274] = orientation
        yield f"turned {orientation}.jpg", encoded(image, "JPEG", exif=exif), (GOOD,)
    yield "arithmetic.jpg", _without(encoded(image, "JPEG"), 0xC0, 0xC9), (BAD, GOOD)
    yield "twelve bits.jpg", _precision(encoded(image, "JPEG"), 12), (BAD,)
    for bits in (1, 4, 16, 32):
        yield f"{bits} bits.bmp", _bmp(16, 16, bits, 0, bytes(4096)), (GOOD, BAD)


def _heavy_metadata(draw: random.Random) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
    image = picture(draw)
    jpeg = encoded(image, "JPEG")
    exif = Image.Exif()
    exif[0x010E] = "d" * 60_000
    yield "long exif.jpg", encoded(image, "JPEG", exif=exif), (GOOD,)
    yield "broken exif.jpg", encoded(image, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff"), (GOOD,)
    yield "exif in a circle.jpg", encoded(image, "JPEG", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00"), (GOOD,)
    yield "long profile.jpg", encoded(image, "JPEG", icc_profile=draw.randbytes(4_000_000)), (GOOD,)
    yield "long comments.jpg", _after_start(jpeg, _segment(0xFE, b"c" * 65_000) * 140), (GOOD,)
    yield "text bomb.png", _chunks(encoded(image, "PNG"), [(b"zTXt", b"k\x00\x00" + zlib.compress(bytes(20_000_000)))]), (BAD, GOOD)
    yield "profile bomb.png", _chunks(encoded(image, "PNG"), [(b"iCCP", b"k\x00\x00" + zlib.compress(bytes(20_000_000)))]), (BAD, GOOD)
    info = PngImagePlugin.PngInfo()
    for number in range(66):
        info.add_text(f"k{number}", "v" * 1_000_000, zip=True)
    yield "texts of a megabyte.png", encoded(image, "PNG", pnginfo=info), (BAD, GOOD)
    yield "photoshop block.jpg", _after_start(jpeg, _segment(0xED, b"Photoshop 3.0\x00" + b"8BIM\x04\x04\x00\x00\xff\xff\xff\xff")), (GOOD, BAD)
    yield "pages that are not there.jpg", _after_start(jpeg, _segment(0xE2, b"MPF\x00II*\x00\x08\x00\x00\x00\xff\xff")), (GOOD, BAD)
    yield "xmp.webp", encoded(image, "WEBP", xmp=b"<x tiff:Orientation='6'>" * 50_000), (GOOD,)


def png(width: int, height: int, pixels: bytes, depth: int = 8, colours: int = 2) -> bytes:
    """A PNG of a header and compressed pixels that need not fit together."""
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(data: bytes, more: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG with further chunks behind its header."""
    return data[:33] + b"".join(_chunk(*part) for part in more) + data[33:]


def _interlaced() -> bytes:
    data = bytearray(png(16, 16, zlib.compress(bytes(2_000))))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _after_start(jpeg: bytes, segments: bytes) -> bytes:
    return jpeg[:2] + segments + jpeg[2:]


def _without(jpeg: bytes, marker: int, instead: int) -> bytes:
    return jpeg.replace(bytes([0xFF, marker]), bytes([0xFF, instead]), 1)


def _precision(jpeg: bytes, bits: int) -> bytes:
    place = jpeg.index(b"\xff\xc0") + 4
    return jpeg[:place] + bytes([bits]) + jpeg[place + 1 :]


def _resized_jpeg(jpeg: bytes, side: int) -> bytes:
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + struct.pack(">HH", side, side) + jpeg[place + 4 :]


def _many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG that goes over its blocks once more with each of its scans, each a few bytes long."""
    data = encoded(Image.new("L", (side, side), 128), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    head, scan = data[:last], data[last:-2]
    return head + scan * min(scans, (MAX_BYTES - len(head)) // len(scan)) + b"\xff\xd9"


def _gif(width: int, height: int, frame: tuple[int, int] | None = None, extension: bytes = b"") -> bytes:
    size = frame or (width, height)
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\x00\x00\x00\xff\xff\xff"
    return screen + extension + b"\x2c" + struct.pack("<HHHHB", 0, 0, *size, 0) + b"\x02\x02\x4c\x01\x00\x3b"


def _gif_comments(number: int) -> bytes:
    return _gif(8, 8, extension=b"\x21\xfe\x01c\x00" * number)


def _webp_canvas(side: int) -> bytes:
    data = bytearray(encoded(Image.new("RGBA", (8, 8)), "WEBP", save_all=True, append_images=[Image.new("RGBA", (8, 8), (9, 9, 9, 9))]))
    data[24:30] = (side - 1).to_bytes(3, "little") * 2
    return bytes(data)


def _bmp(width: int, height: int, bits: int, compression: int, pixels: bytes) -> bytes:
    palette = bytes(4 * 2**bits) if bits <= 8 else b""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 0, 0, 0, 0)
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + palette + pixels


def _tiff(tags: dict[int, int | bytes], behind: bytes = b"", next_directory: int = 0) -> bytes:
    """A TIFF of one directory; an int is one LONG, bytes are LONGs that lie behind the directory, before `behind`."""
    directory, block = b"", b""
    start = 8 + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        if isinstance(value, int):
            directory += struct.pack("<HHII", tag, 4, 1, value)
        else:
            directory += struct.pack("<HHII", tag, 4, len(value) // 4, start + len(block))
            block += value
    return b"II*\x00" + struct.pack("<IH", 8, len(tags)) + directory + struct.pack("<I", next_directory) + block + behind


def _large_tile() -> bytes:
    """A picture of 16 × 16 pixels in one tile of 8,000 × 8,000."""
    pixels = zlib.compress(bytes(64_000_000))
    tags: dict[int, int | bytes] = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: 8_000, 323: 8_000, 324: 8 + 2 + 12 * 10 + 4, 325: len(pixels)}
    return _tiff(tags, pixels)


def _many_strips(number: int) -> bytes:
    """A picture one pixel wide, each pixel in a strip of its own."""
    places = np.full(number, 8, "<u4").tobytes()
    return _tiff({256: 1, 257: number, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1, 273: places, 279: np.ones(number, "<u4").tobytes()})


def _circular_tiff() -> bytes:
    return _tiff({256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 273: 4, 277: 1, 278: 4, 279: 16}, bytes(16), next_directory=8)
