"""`DATASET/explore/explore.json`: what the catalogue and the gathered images are like, in numbers of bounded size."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

VERSION = 1

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Quantiles(_Record):
    """Approximate quantiles of a quantity at `QUANTILES`; each is a value that occurs."""

    minimum: float
    p05: float
    p25: float
    median: float
    p75: float
    p95: float
    maximum: float


class Histogram(_Record):
    """How many values fall into fixed bins.

    `counts[i]` values are at least `lower_edges[i]` and below `lower_edges[i + 1]`; the last bin has no upper edge.
    """

    lower_edges: list[float]
    counts: list[int]


class CategoryCount(_Record):
    category: str
    rows: int
    is_class: bool
    """Whether the category is one of the dataset's classes."""


class CumulativeShare(_Record):
    """The `categories` largest categories together hold `share` (0 to 1) of the rows that have a category."""

    categories: int
    share: float


class CatalogueStatistics(_Record):
    """The whole catalogue, set aside rows included."""

    rows: int
    rows_by_status: dict[str, int]
    """Most frequent first; rows not set aside are `candidate`."""
    rows_without_category: int
    categories: int
    largest: list[CategoryCount]
    """At most 50, by rows."""
    more_categories: int
    """Categories not in `largest`."""
    more_rows: int
    """Rows of the categories not in `largest`."""
    cumulative: list[CumulativeShare]
    """By number of categories: 1, 2, 3, 5, 10, 20, 30, 50, … and last all of them."""


class ClassStatistics(_Record):
    """The readable images of one class; all but `label` and `images` are None where it has none."""

    label: str
    images: int
    width: Quantiles | None = None
    """Of the source image, in pixels; so is `height`."""
    height: Quantiles | None = None
    brightness: Quantiles | None = None
    """Mean luma of an image, 0 to 255."""
    brightness_mean: float | None = None
    brightness_std: float | None = None
    """Sample standard deviation between images; None for a single one. So is `contrast_std`."""
    contrast: Quantiles | None = None
    """Standard deviation of the luma within an image."""
    contrast_mean: float | None = None
    contrast_std: float | None = None
    pixel_min: int | None = None
    """Smallest pixel value in any image of the class; `pixel_max` is the largest."""
    pixel_max: int | None = None
    pixel_min_mean: float | None = None
    """Mean over the images of each image's smallest pixel value; `pixel_max_mean` of its largest."""
    pixel_max_mean: float | None = None


class SizeCount(_Record):
    width: int
    height: int
    images: int


class Histograms(_Record):
    """Of the readable images; sizes are those of the source images."""

    width: Histogram
    height: Histogram
    aspect_ratio: Histogram
    """Width divided by height."""
    brightness: Histogram
    contrast: Histogram


class ExampleImage(_Record):
    id: str
    label: str | None
    error: str | None = None


class FailedImages(_Record):
    """The gathered rows that ended in one status other than readable."""

    status: str
    images: int
    examples: list[ExampleImage]
    """At most 20, by id."""


class IdenticalGroup(_Record):
    """Images whose decoded pixels are all equal."""

    images: int
    examples: list[ExampleImage]
    """At most 20, by id."""


class IdenticalImages(_Record):
    groups: int
    images: int
    """Images in all groups together."""
    groups_across_classes: int
    """Groups whose images do not all have the same label."""
    examples: list[IdenticalGroup]
    """At most 20 groups, the largest first."""


class GatheredStatistics(_Record):
    """What came of the candidates whose image was fetched or read."""

    rows: int
    rows_by_status: dict[str, int]
    """Most frequent first; images that could be decoded are `readable`."""
    classes: list[ClassStatistics]
    """One for each class, in the order of the dataset's classes."""
    histograms: Histograms
    sizes: list[SizeCount]
    """The most frequent source sizes, at most 200."""
    formats: dict[str, int]
    modes: dict[str, int]
    seconds: Quantiles | None
    """Duration of a fetch, over all rows that have one."""
    attempts: Quantiles | None
    failed: list[FailedImages]
    identical: IdenticalImages


class ExploreResult(_Record):
    """The whole of `explore.json`."""

    version: int = VERSION
    classes: list[str]
    catalogue: CatalogueStatistics
    gathered: GatheredStatistics
