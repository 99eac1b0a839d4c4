"""Shard formats: what is written is what anybody reads, in order, and damage is noticed."""

from __future__ import annotations

import itertools
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slotwise.contracts.sample import Sample
from slotwise.errors import DataError
from slotwise.formats import FORMATS, parquet, tfrecord

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
SAMPLES = st.lists(st.builds(Sample, id=TEXT, label=st.integers(0, 2**31), image=st.binary(max_size=300)), max_size=8)
FEATURES = {name: tf.io.FixedLenFeature([], dtype) for name, dtype in (("id", tf.string), ("label", tf.int64), ("image", tf.string))}
SOME = [Sample("a", 0, b"first"), Sample("ü-2", 1, b""), Sample("c", 300, b"\x00third\x00")]

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
numbers = itertools.count()


def write(path: Path, samples: list[Sample], format_name: str = "tfrecord") -> str:
    with FORMATS[format_name].writer(str(path)) as writer:
        for sample in samples:
            writer.write(sample)
    return str(path)


@quick
@given(samples=SAMPLES)
def test_plain_tensorflow_reads_our_tfrecords(samples: list[Sample], tmp_path: Path) -> None:
    path = write(tmp_path / f"{next(numbers)}.tfrecord", samples)
    parsed = [tf.io.parse_single_example(record, FEATURES) for record in tf.data.TFRecordDataset(path)]
    assert [Sample(p["id"].numpy().decode(), int(p["label"]), p["image"].numpy()) for p in parsed] == samples


@pytest.mark.parametrize("format_name", FORMATS)
@quick
@given(samples=SAMPLES)
def test_what_is_written_is_read_in_order(format_name: str, samples: list[Sample], tmp_path: Path) -> None:
    path = write(tmp_path / f"{next(numbers)}.{format_name}", samples, format_name)
    assert list(FORMATS[format_name].read(path)) == samples


def test_any_flipped_byte_of_a_tfrecord_is_noticed_at_its_record(tmp_path: Path) -> None:
    whole = Path(write(tmp_path / "whole", SOME)).read_bytes()
    first, second = (len(tfrecord.encode_example(sample)) + 16 for sample in SOME[:2])
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path = tmp_path / "damaged"
        path.write_bytes(damaged)
        number = (place >= first) + (place >= first + second)
        with pytest.raises(DataError, match=f"damaged at record {number}"):
            list(tfrecord.read(str(path)))


def test_a_tfrecord_cut_off_inside_a_record_is_noticed(tmp_path: Path) -> None:
    whole = Path(write(tmp_path / "whole", SOME)).read_bytes()
    ends = list(itertools.accumulate((len(tfrecord.encode_example(sample)) + 16 for sample in SOME), initial=0))
    for length in range(len(whole)):
        path = tmp_path / "cut"
        path.write_bytes(whole[:length])
        if length in ends:
            assert list(tfrecord.read(str(path))) == SOME[: ends.index(length)]
        else:
            with pytest.raises(DataError, match="damaged at record"):
                list(tfrecord.read(str(path)))


def test_parquet_row_groups_are_bounded(tmp_path: Path) -> None:
    image = bytes(300_000)
    path = write(tmp_path / "shard.parquet", [Sample(str(number), number, image) for number in range(40)], "parquet")
    groups = pq.ParquetFile(path).metadata
    assert groups.num_row_groups > 1
    largest = max(groups.row_group(number).total_byte_size for number in range(groups.num_row_groups))
    assert largest <= parquet.ROW_GROUP_BYTES + 2 * len(image)
    assert [sample.label for sample in parquet.read(path)] == list(range(40))
