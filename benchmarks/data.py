"""The datasets that benchmarks train on, prepared once by prepare itself."""

from __future__ import annotations

from benchmarks.submit import submit
from slotwise import storage

_PREPARE = {
    # 150x100 as in Mazzon 2025.
    "covers": ("--source", "demo", "--image-size", "150x100", "--classes", "12", "--per-class", "150"),
    "covers-parquet": ("--source", "demo", "--image-size", "150x100", "--classes", "12", "--per-class", "150", "--format", "parquet"),
    # As many images of as many pixels as CIFAR-10, whose place on this machine nobody knows: what comes once an epoch has its share of the time.
    "cifar10": ("--source", "demo", "--image-size", "32x32", "--classes", "10", "--per-class", "6000"),
    "small": ("--source", "demo", "--image-size", "32x32", "--classes", "10", "--per-class", "1000"),
}


def dataset(name: str) -> str:
    """The URI of a dataset, which is prepared if it is not there."""
    uri = storage.normalise(f"workspace/datasets/bench-{name}")
    if not storage.exists(storage.join(uri, "dataset.json")):
        submit("jobs/prepare.py", *_PREPARE[name], "--dataset", uri)
    return uri
