"""One training sample as files hold it, the same in every format."""

from __future__ import annotations

from typing import NamedTuple


class Sample(NamedTuple):
    """One image and its class.

    `id` is unique in its dataset; `label` indexes `DatasetRecord.classes`; `image` is a JPEG of the dataset's size.
    The field names are the TFRecord features and the Parquet columns.
    """

    id: str
    label: int
    image: bytes
