"""`DATASET/dataset.json`: what a prepared dataset holds, shard by shard, and how it was made."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from slotwise import storage
from slotwise.contracts.catalogue import SPLITS
from slotwise.errors import DataError

VERSION = 1

_Count = Annotated[int, Field(ge=0)]


class ShardRecord(BaseModel):
    """One logical shard of one split: one file."""

    model_config = ConfigDict(frozen=True)

    file: str
    """Path below the dataset, for example `train/shard-00003.tfrecord`."""
    samples: _Count
    bytes: _Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]+$")]
    """Hexadecimal; names a file of a slot's cache, too."""

    @field_validator("file")
    @classmethod
    def _is_below(cls, file: str) -> str:
        # A record from a stranger must not have slots read, or take for shards, files beside the dataset.
        if not {*file.split("/")}.isdisjoint(("", ".", "..")) or "\\" in file or ":" in file:
            raise ValueError(f"{file!r} is no path below the dataset")
        return file


class SplitRecord(BaseModel):
    """One split: its shards in order, `shards[l]` being logical shard l."""

    model_config = ConfigDict(frozen=True)

    samples: int
    class_counts: list[int]
    """Samples of each class, in the order of `DatasetRecord.classes`."""
    shards: list[ShardRecord]


class Accounting(BaseModel):
    """Where every input row went: `rows == used + spare + sum(set_aside.values())`."""

    model_config = ConfigDict(frozen=True)

    rows: int
    used: int
    spare: int
    set_aside: dict[str, int]

    def balanced(self) -> bool:
        return self.rows == self.used + self.spare + sum(self.set_aside.values())


class DatasetRecord(BaseModel):
    """The whole of `dataset.json`."""

    model_config = ConfigDict(frozen=True)

    version: int
    created: str
    source: str
    format: Literal["tfrecord", "parquet"]
    image_size: tuple[int, int]
    """Height and width in pixels."""
    channels: int
    classes: list[str]
    """Names in label order: label i is `classes[i]`."""
    class_weights: list[float] | None
    """Loss weight of each class where the dataset was made with `--balance weights`."""
    logical_shards: int
    seed: int
    splits: dict[str, SplitRecord]
    accounting: Accounting
    settings: dict[str, Any]
    versions: dict[str, str]
    seconds: dict[str, float] = {}
    """How long it took to make, part after part; empty in a dataset from before this was kept."""

    @model_validator(mode="after")
    def _is_whole(self) -> DatasetRecord:
        for split in SPLITS:
            if split not in self.splits:
                raise ValueError(f"the split {split} is missing")
            found = self.splits[split]
            if len(found.shards) != self.logical_shards or sum(shard.samples for shard in found.shards) != found.samples:
                raise ValueError(f"the shards of {split} do not add up")
            if len(found.class_counts) != len(self.classes):
                raise ValueError(f"{split} counts {len(found.class_counts)} classes of {len(self.classes)}")
        return self

    @property
    def uri(self) -> str:
        """Where the dataset was written."""
        return str(self.settings["dataset"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 over classes and shard checksums: equal exactly where two datasets hold the same files."""
        import hashlib

        shards = [[shard.sha256 for shard in self.splits[split].shards] for split in SPLITS]
        return hashlib.sha256(json.dumps([self.classes, shards]).encode()).hexdigest()


def load(dataset: str) -> DatasetRecord:
    """The record of a dataset.

    Raises:
        DataError: there is no dataset, only half of one, or one of another version.
    """
    uri = storage.join(dataset, "dataset.json")
    if not storage.exists(dataset):
        raise DataError(f"There is no dataset at {dataset}. Make one with: spark-submit jobs/prepare.py --dataset {dataset}")
    if not storage.exists(uri):
        raise DataError(f"{dataset} is not a finished dataset: it has no dataset.json. Prepare it again with --overwrite")
    try:
        content = storage.read_json(uri)
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{uri} is not JSON ({error}). Prepare the dataset again with --overwrite") from error
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise DataError(f"The dataset at {dataset} has format version {version}; this slotwise reads version {VERSION}. Prepare it again with --overwrite")
    try:
        return DatasetRecord.model_validate(content)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise DataError(f"{uri} is damaged at '{where}': {error.errors()[0]['msg']}. Prepare the dataset again with --overwrite") from error


def check_files(dataset: str, record: DatasetRecord) -> None:
    """Sees that every shard is there with its recorded size; the checksums are checked when a slot fetches it.

    Raises:
        DataError: a shard is missing or of another size.
    """
    for split in record.splits.values():
        for shard in split.shards:
            uri = storage.join(dataset, shard.file)
            if not storage.exists(uri):
                raise DataError(f"The dataset at {dataset} is incomplete: {shard.file} is missing. Prepare it again with --overwrite")
            found = storage.size(uri)
            if found != shard.bytes:
                raise DataError(f"The shard {uri} has {found} bytes; dataset.json says {shard.bytes}. Prepare the dataset again with --overwrite")


def check_trainable(dataset: str, record: DatasetRecord) -> None:
    """Sees that there is something to learn from and something to test on.

    Raises:
        DataError: the train or the test split is empty.
    """
    for split in ("train", "test"):
        if not record.splits[split].samples:
            raise DataError(f"The {split} split of {dataset} is empty")
