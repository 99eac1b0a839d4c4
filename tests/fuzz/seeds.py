"""Writes the first inputs of each target, small and sound, from which a fuzzer goes on: `python -m tests.fuzz.seeds`."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

KEPT = Path(__file__).parent / "kept"


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    for target, inputs in _inputs().items():
        (KEPT / target).mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (KEPT / target / f"seed-{name}").write_bytes(data)


def _inputs() -> dict[str, dict[str, bytes]]:
    from tests.fuzz.targets import framed

    from datasets import make_dataset
    from records import run_record
    from slotwise import storage
    from slotwise.contracts.sample import Sample
    from slotwise.formats import tfrecord
    from slotwise.training.checkpoints import Checkpoint, Checkpoints, Progress

    with tempfile.TemporaryDirectory() as place:
        uri = make_dataset(Path(place) / "dataset", shards=1, counts=(2, 1, 1), classes=2)
        dataset = storage.read_bytes(f"{uri}/dataset.json")
        progress = Progress(history=run_record(epochs=1).epochs, settings={"seed": 1}, dataset_fingerprint="f")
        checkpoint = Checkpoint(progress, [np.ones((2, 3), np.float32)], [np.array(1)], np.zeros((0, 4, 2), np.int32))
        Checkpoints(Path(place).as_uri()).save(checkpoint)
        (saved,) = Path(place).glob("epoch-*.npz")
        packed = saved.read_bytes()
    example = tfrecord.encode_example(Sample("a", 300, b"jpeg"))
    return {
        "image": _images(),
        "tfrecord": {"file": b"\x00" + framed(example) * 2, "record": b"\x01" + example},
        "dataset": {"whole": dataset},
        "run": {"whole": json.dumps(run_record(epochs=1).model_dump(mode="json")).encode()},
        "checkpoint": {"whole": packed},
        "table": {"plain": b"\x00" + b'Title,image,"categories"\nt,http://a/1.jpg,"[\'Art\']"\n', "packed": b"\x01image,categories\r\na,b\r\n", "mark": b"\x00\xef\xbb\xbfimage\n"},
    }


def _images() -> dict[str, bytes]:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8))
    kinds = {
        "jpg": (image, "JPEG", {}),
        "progressive-jpg": (image, "JPEG", {"progressive": True}),
        "cmyk-jpg": (image.convert("CMYK"), "JPEG", {}),
        "png": (image, "PNG", {}),
        "palette-png": (image.quantize(4), "PNG", {"transparency": 0}),
        "grey16-png": (Image.fromarray(np.full((5, 4), 500, np.uint16)), "PNG", {}),
        "gif": (image.quantize(4), "GIF", {}),
        "webp": (image, "WEBP", {}),
        "bmp": (image.resize((4, 4)), "BMP", {}),
        "tiff": (image.resize((4, 4)), "TIFF", {}),
        "packed-tiff": (image.convert("F"), "TIFF", {"compression": "tiff_adobe_deflate"}),
    }
    found = {}
    for name, (picture, form, options) in kinds.items():
        content = io.BytesIO()
        picture.save(content, form, **options)
        found[name] = content.getvalue()
    return found


if __name__ == "__main__":
    main()
