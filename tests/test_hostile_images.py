"""Two hundred hostile images: each is read or set aside in bounded memory and time. On the way into a dataset: test_hostile_dataset.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hostile_images import MAX_PIXELS, encoded, hostile_images
from slotwise.image_pieces import MAX_EXIF, MAX_SCANS, excess
from slotwise.imaging import NormalisedImage, normalise

# What reading one image may take beyond an idle process: 20 bytes a pixel, and the pieces of a file of ten megabytes.
_MEGABYTES = 20 * MAX_PIXELS // 1_000_000 + 50
_SECONDS = 8


def test_each_alone_takes_bounded_memory_and_time(tmp_path: Path, repository: Path) -> None:
    images = {hostile.name: hostile for hostile in hostile_images()}
    for hostile in images.values():
        (tmp_path / hostile.name).write_bytes(hostile.data)
    command = [sys.executable, str(repository / "tests" / "decode_apart.py"), str(tmp_path), str(MAX_PIXELS), str(_SECONDS), "400"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found: dict[str, dict[str, Any]] = {}
    for line in done.stdout.splitlines():
        found.setdefault(json.loads(line)["name"], {}).update(json.loads(line))
    assert found.keys() == images.keys(), done.stderr[-2000:]
    wrong = {name: ends for name, ends in found.items() if ends["status"] or ends["end"] not in images[name].ends}
    assert not wrong, "ended by a signal, or in a way that is not right for it"
    idle = min(ends["kilobytes"] for ends in found.values())
    assert {name: ends for name, ends in found.items() if (ends["kilobytes"] - idle) / 1000 > _MEGABYTES} == {}
    assert all(len(ends["error"]) <= 300 for ends in found.values())


def test_no_program_writes_so_many_pieces() -> None:
    """The limits of pieces leave room for what cameras and programs write."""
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (700, 900, 3), dtype=np.uint8))
    for form, options in (("JPEG", {"progressive": True}), ("MPO", {"save_all": True, "append_images": [image] * 5}), ("GIF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {"big_tiff": True})):
        data = encoded(image, form, **options)
        assert excess(data, 1_000_000) is None
        assert isinstance(normalise(data, height=8, width=8, max_pixels=1_000_000), NormalisedImage)
    assert encoded(image, "JPEG", progressive=True).count(b"\xff\xda") < MAX_SCANS / 5
    assert MAX_EXIF > 50


def test_a_flat_grey_of_many_bits_stays_one_grey() -> None:
    for image in (Image.new("I", (9, 9), 70_000), Image.new("F", (9, 9), -1.5)):
        found = normalise(encoded(image, "TIFF"), height=8, width=8, max_pixels=1_000)
        assert isinstance(found, NormalisedImage)
        assert found.contrast == 0
