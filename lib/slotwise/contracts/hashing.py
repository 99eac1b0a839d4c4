"""Order and split of rows by hash: the same double in Spark SQL and in Python, whatever the number of tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate

from pyspark.sql import Column
from pyspark.sql import functions as F

from slotwise.contracts.catalogue import SPLITS

# 13 hexadecimal digits are 52 bits, which a double holds exactly: the division is the same in Java and in Python.
_DIGITS = 13
_RANGE = float(16**_DIGITS)
_SEPARATOR = "\x1f"


def unit_hash(texts: Sequence[str | None], seed: int) -> float:
    """A number in [0, 1) that depends on the texts and the seed alone; None counts as the empty text."""
    joined = _SEPARATOR.join([str(seed), *(text or "" for text in texts)])
    return int(hashlib.sha256(joined.encode("utf-8")).hexdigest()[:_DIGITS], 16) / _RANGE


def unit_hash_column(columns: Sequence[Column | str], seed: int) -> Column:
    """`unit_hash` of text columns as a Spark expression of type double."""
    texts = [F.coalesce(F.col(column) if isinstance(column, str) else column, F.lit("")) for column in columns]
    digest = F.sha2(F.concat_ws(_SEPARATOR, F.lit(str(seed)), *texts).cast("binary"), 256)
    return F.conv(F.substring(digest, 1, _DIGITS), 16, 10).cast("double") / F.lit(_RANGE)


def split_of(unit: float, percents: Sequence[int], source_split: str | None = None, given: Collection[str] = ()) -> str:
    """The split of a row whose `unit_hash` is `unit`.

    A row keeps the split its source gave it, but a split that the source lacks is cut out of its training rows, in the
    proportion of the percents. Rows without a split are divided into all three.

    Args:
        unit: from 0 up to, not including, 1.
        percents: of train, validation and test, together 100.
        source_split: the source's own: one of SPLITS, or None.
        given: those of SPLITS that any row of the source has.
    """
    if source_split in SPLITS and source_split != "train":
        return str(source_split)
    bounds = _bounds(percents, given if source_split == "train" else ())
    total = max(bounds.values())
    return next(split for split, bound in bounds.items() if unit * total < bound)


def split_of_column(unit: Column, percents: Sequence[int], source_split: Column, given: Collection[str] = ()) -> Column:
    """`split_of` as a Spark expression of type string."""

    def cut(bounds: Mapping[str, int]) -> Column:
        total = float(max(bounds.values()))
        return F.coalesce(*(F.when(unit * total < float(bound), split) for split, bound in bounds.items()))

    own = source_split.isin(*SPLITS) & (source_split != "train")
    return F.when(own, source_split).when(source_split == "train", cut(_bounds(percents, given))).otherwise(cut(_bounds(percents, ())))


def _bounds(percents: Sequence[int], given: Collection[str]) -> dict[str, int]:
    """The splits that rows are divided into: train and those not given, each with the sum of the percents up to its own."""
    shares = {split: percent for split, percent in zip(SPLITS, percents, strict=True) if split == "train" or split not in given}
    return dict(zip(shares, accumulate(shares.values()), strict=True))


def split_unit_column(row_id: Column | str, seed: int) -> Column:
    """The hash by which an id gets its split."""
    return unit_hash_column([F.lit("split"), row_id], seed)


def order_unit_column(row_id: Column | str, seed: int) -> Column:
    """The hash by which ids of one class stand in line; it does not depend on the one for the split."""
    return unit_hash_column([F.lit("order"), row_id], seed)
