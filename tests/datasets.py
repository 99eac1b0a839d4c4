"""Small prepared datasets for tests, made without Spark: drawn JPEG images in both formats."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from slotwise import storage
from slotwise.contracts.dataset import VERSION, Accounting, DatasetRecord, ShardRecord, SplitRecord
from slotwise.contracts.paths import DatasetPaths, shard_file
from slotwise.contracts.sample import Sample
from slotwise.formats import FORMATS


def draw(number: int, label: int, size: tuple[int, int]) -> bytes:
    """A JPEG that depends on its arguments alone: noise whose colour and stripes hint at the label."""
    height, width = size
    pixels = np.random.default_rng([number, label]).integers(0, 120, (height, width, 3))
    pixels[..., label % 3] += 40 + 20 * (label // 3)
    pixels[:: label + 2] += 50
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def samples_of(split: str, count: int, classes: int, size: tuple[int, int]) -> list[Sample]:
    first = {"train": 0, "validation": 1_000_000, "test": 2_000_000}[split]
    return [Sample(f"{split}-{number}", number * 7 % classes, draw(first + number, number * 7 % classes, size)) for number in range(count)]


def make_dataset(
    root: Path,
    *,
    format_name: str = "tfrecord",
    shards: int = 8,
    counts: tuple[int, int, int] = (193, 45, 45),
    image_size: tuple[int, int] = (32, 32),
    class_weights: Sequence[float] | None = None,
    classes: int = 4,
) -> str:
    """Writes a dataset of `counts` (train, validation, test) samples below `root`; returns its URI."""
    uri = storage.normalise(str(root))
    splits = {}
    for split, count in zip(("train", "validation", "test"), counts, strict=True):
        samples = samples_of(split, count, classes, image_size)
        (root / split).mkdir(parents=True)
        records = [_write_shard(root, split, shard, samples[shard::shards], format_name) for shard in range(shards)]
        class_counts = [sum(sample.label == label for sample in samples) for label in range(classes)]
        splits[split] = SplitRecord(samples=count, class_counts=class_counts, shards=records)
    record = DatasetRecord(
        version=VERSION,
        created="2026-01-02T03:04:05+00:00",
        source="test",
        format=format_name,
        image_size=image_size,
        channels=3,
        classes=[f"class {label}" for label in range(classes)],
        class_weights=None if class_weights is None else list(class_weights),
        logical_shards=shards,
        seed=7,
        splits=splits,
        accounting=Accounting(rows=sum(counts), used=sum(counts), spare=0, set_aside={}),
        settings={},
        versions={},
    )
    storage.write_text(DatasetPaths(uri).record, record.model_dump_json(indent=2))
    return uri


def _write_shard(root: Path, split: str, shard: int, samples: list[Sample], format_name: str) -> ShardRecord:
    file = shard_file(split, shard, FORMATS[format_name].extension)
    path = str(root / file)
    with FORMATS[format_name].writer(path) as writer:
        for sample in samples:
            writer.write(sample)
    return ShardRecord(file=file, samples=len(samples), bytes=os.path.getsize(path), sha256=storage.file_sha256(path))


def write_idx(path: Path, values: np.ndarray) -> None:
    """By the format's description; gzipped if the name says so."""
    content = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape) + values.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_fashion(directory: Path, ending: str, counts: tuple[int, int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The four files of Fashion-MNIST with so many training and test images of noise; returns both by file prefix."""
    random = np.random.default_rng(5)
    written = {}
    for prefix, count in zip(("train", "t10k"), counts, strict=True):
        images, labels = random.integers(0, 256, (count, 28, 28), np.uint8), random.integers(0, 10, count).astype(np.uint8)
        write_idx(directory / f"{prefix}-images-idx3-ubyte{ending}", images)
        write_idx(directory / f"{prefix}-labels-idx1-ubyte{ending}", labels)
        written[prefix] = images, labels
    return written


def write_cifar10(directory: Path, count: int) -> None:
    """`count` training and as many test images in Hugging Face's layout, over all ten classes in turn."""
    for first, split in ((0, "train"), (count, "test")):
        images = [{"bytes": draw(first + number, number % 10, (32, 32)), "path": f"{split}-{number}.jpg"} for number in range(count)]
        table = pa.table({"img": images, "label": pa.array([number % 10 for number in range(count)], pa.int64())})
        pq.write_table(table, directory / f"{split}-00000-of-00001.parquet")


def write_folder(directory: Path, classes: int, per_class: int) -> None:
    """A folder of JPEGs for each class, named as leaves are."""
    for label in range(classes):
        folder = directory / f"Tomato___kind {label}"
        folder.mkdir(parents=True)
        for number in range(per_class):
            (folder / f"leaf {number}.JPG").write_bytes(draw(classes * number + label, label, (48, 48)))
