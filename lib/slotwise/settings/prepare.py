"""Settings of the prepare job."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from slotwise import storage
from slotwise.config import option
from slotwise.errors import UsageError
from slotwise.settings.fetch import FetchSettings
from slotwise.settings.types import CommaSeparated, ImageSize, Uri

Source = Literal["demo", "covers", "cifar10", "fashion-mnist", "folder"]
Format = Literal["tfrecord", "parquet"]
Balance = Literal["undersample", "oversample", "weights", "none"]

# What a source is when nothing is said: (classes, images per class, image size, balance). None takes all there is.
SOURCE_DEFAULTS: dict[str, tuple[int | None, int | None, tuple[int, int], Balance]] = {
    "demo": (12, 100, (64, 48), "undersample"),
    "covers": (12, 2200, (150, 100), "undersample"),
    "cifar10": (None, None, (32, 32), "none"),
    "fashion-mnist": (None, None, (28, 28), "none"),
    "folder": (None, None, (128, 128), "undersample"),
}
_GREY = ("fashion-mnist",)


class PrepareSettings(FetchSettings):
    """What to make a dataset from, and how."""

    job: ClassVar[str] = "prepare"
    sections: ClassVar[tuple[str, ...]] = ("prepare",)
    summary: ClassVar[str] = "Turn a table of image URLs, CIFAR-10, Fashion-MNIST or a folder of images into a balanced dataset of logical shards."
    examples: ClassVar[str] = """\
  spark-submit jobs/prepare.py
  spark-submit jobs/prepare.py --source covers --input hdfs://host:9000/books.csv.gz --classes 12 --per-class 2200
  spark-submit jobs/prepare.py --source cifar10 --input hdfs://host:9000/cifar10 --dataset hdfs://host:9000/datasets/cifar10
  spark-submit jobs/prepare.py --source fashion-mnist --input fashion-mnist
  spark-submit jobs/prepare.py --source folder --input photos --image-size 128x128 --format parquet
  spark-submit jobs/prepare.py --source folder --input PlantVillage --class-pattern 'Tomato*'"""

    source: Source = option("demo", "where the images come from", accepted="demo, covers, cifar10, fashion-mnist or folder", metavar="NAME")
    input: Uri | None = option(None, "the source's file or directory; the demo draws its own", accepted="a path or URI that exists", metavar="URI")
    dataset: Uri | None = option(None, "where the dataset goes (default: workspace/datasets/SOURCE)", accepted="a path or URI", metavar="URI")
    format: Format = option("tfrecord", "file format of the shards", accepted="tfrecord or parquet", metavar="NAME")
    classes: int | None = option(None, "keep the K largest classes (default: 12 for demo and covers, else all)", accepted="a whole number from 2", metavar="K", ge=2)
    class_pattern: list[str] = option([], "keep the classes of such names alone; * is any text, ? any character", accepted="patterns such as 'Tomato*'", metavar="GLOB")
    per_class: int | None = option(None, "images per class over all splits (default: 100 for demo, 2200 for covers, else all)", accepted="a whole number from 5", metavar="N", ge=5)
    balance: Balance | None = option(None, "how to even out the training split (default: undersample; none for cifar10 and fashion-mnist, balanced as they come)", accepted="undersample, oversample, weights or none", metavar="NAME")
    image_size: ImageSize | None = option(None, "size of the stored images (default: 64x48 demo, 150x100 covers, 32x32 cifar10, 28x28 fashion-mnist, 128x128 folder)", accepted="HEIGHTxWIDTH, each from 4 to 4096", metavar="HxW")
    logical_shards: int = option(16, "shards per split; a run can use any number of slots up to it", accepted="a whole number from 1 to 4096", metavar="L", ge=1, le=4096)
    split: Annotated[list[int], CommaSeparated] = option([60, 20, 20], "percent for train,validation,test", accepted="three whole numbers that add up to 100, train and test above 0", metavar="A,B,C")
    keep_splits: bool = option(True, "keep the source's own splits, and cut a missing one out of train; --no-keep-splits divides all images anew", accepted="true or false")
    seed: int = option(7, "seed of selection, split and order", accepted="a whole number from 0", metavar="S", ge=0)
    overwrite: bool = option(False, "replace a dataset that is there already", accepted="true or false")
    cache: Uri | None = option(None, "directory that keeps fetched images for the next run (default: beside the dataset)", accepted="a path or URI", metavar="URI")
    max_failed: float = option(0.2, "share of failed downloads above which the job gives up", accepted="a number from 0 to 1", metavar="SHARE", ge=0, le=1)
    reserve: float = option(0.3, "extra share of images fetched per class, to stand in for failed ones", accepted="a number from 0 to 10", metavar="SHARE", ge=0, le=10)
    follow_links: bool = option(False, "folder: follow links that lead out of --input", accepted="true or false")
    category_column: str = option("categories", "covers: column of the class", accepted="a column of the input", metavar="NAME")

    @model_validator(mode="after")
    def _check_source(self) -> PrepareSettings:
        if self.source != "demo" and self.input is None:
            raise UsageError(f"Source {self.source} needs --input", received="none", accepted="a path or URI that exists")
        if len(self.split) != 3 or sum(self.split) != 100 or min(self.split) < 0 or 0 in (self.split[0], self.split[2]):
            raise UsageError("The value of --split is wrong", received=self.split, accepted="three whole numbers that add up to 100, train and test above 0")
        if "" in self.class_pattern:
            raise UsageError("The value of --class-pattern is wrong", received=repr(""), accepted="patterns such as 'Tomato*'")
        return self

    @property
    def channels(self) -> int:
        """Of the stored images: 1 for grey, 3 for RGB."""
        return 1 if self.source in _GREY else 3

    def resolved(self) -> PrepareSettings:
        """The same settings with every default that depends on the source filled in."""
        classes, per_class, image_size, balance = SOURCE_DEFAULTS[self.source]
        dataset = self.dataset or storage.normalise(f"workspace/datasets/{self.source}")
        return self.model_copy(
            update={
                # Whoever names the classes wants them all.
                "classes": self.classes or (None if self.class_pattern else classes),
                "per_class": self.per_class or per_class,
                "image_size": self.image_size or image_size,
                "balance": self.balance or balance,
                "dataset": dataset,
                "cache": self.cache or storage.join(storage.parent(dataset), ".image-cache"),
            }
        )
