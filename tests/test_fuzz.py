"""What fuzzers were started from and what they found, once more; and hypothesis at the same readers."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from fuzz.targets import TARGETS, framed
from slotwise.errors import DataError
from slotwise.formats import tfrecord
from slotwise.sources import tables

KEPT = Path(__file__).parent / "fuzz" / "kept"
SEEDS = {name: [path.read_bytes() for path in sorted((KEPT / name).iterdir())] for name in TARGETS}
WANTED = {"url": ("--url-column", "image")}


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs_are_read_or_refused_in_words(name: str) -> None:
    assert SEEDS[name]
    for data in SEEDS[name]:
        TARGETS[name](data)


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "image"])  # images: test_imaging.py
@settings(max_examples=60, deadline=None)
@given(choice=st.data())
def test_damaged_inputs_are_read_or_refused_in_words(name: str, choice: st.DataObject) -> None:
    data = bytearray(choice.draw(st.sampled_from(SEEDS[name])))
    for _ in range(choice.draw(st.integers(1, 4))):
        start = choice.draw(st.integers(0, len(data)))
        data[start : start + choice.draw(st.integers(0, 8))] = choice.draw(st.binary(max_size=8))
    TARGETS[name](bytes(data))


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (b"", "no id and no image and no label"),
        (b"\xff" * 30, "a number does not end"),
        (b"\x0a\x05\x0a", "cut off"),
        (b"\x08\x01", "of another kind"),
        (tfrecord._message(1, tfrecord._message(1, tfrecord._message(1, b"id"))), "values to unpack"),
    ],
)
def test_a_record_that_is_no_sample_is_damage_even_where_its_checksums_are_right(tmp_path: Path, record: bytes, says: str) -> None:
    (tmp_path / "shard").write_bytes(framed(record))
    with pytest.raises(DataError, match=f"something else than a sample at record 0: .*{says}"):
        list(tfrecord.read(str(tmp_path / "shard")))


def test_no_memory_is_asked_for_a_record_that_is_longer_than_its_file(tmp_path: Path) -> None:
    header = framed(b"")[:0] + (2**62).to_bytes(8, "little")
    (tmp_path / "shard").write_bytes(header + tfrecord._masked_crc(header).to_bytes(4, "little") + b"few")
    with pytest.raises(DataError, match="damaged at record 0"):
        list(tfrecord.read(str(tmp_path / "shard")))


CELLS = st.text(st.sampled_from(['"', ",", "\n", "\r", "\\", "'", "[", " ", "\u00a0", "\x1b", "é", "a", "\ufeff"]), max_size=12)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), min_size=25, max_size=40), noise=st.lists(st.lists(CELLS, max_size=5), max_size=20))
def test_rows_that_python_wrote_are_rows_and_any_others_do_no_harm(spark: SparkSession, contents: list[list[tuple[str, str]]], noise: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for number, rows in enumerate(contents):
            text = io.StringIO()
            csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("Title", "image"), *rows])
            (Path(directory) / f"written-{number:03d}.csv").write_bytes(text.getvalue().encode())
        for number, lines in enumerate(noise):
            (Path(directory) / f"zz-noise-{number:03d}.csv").write_bytes(("Title,image\n" + "\n".join(lines)).encode())
        found = tables.read(spark, Path(directory).as_uri(), WANTED).select("row", "file", "corrupt").collect()
        assert sorted(row["row"] for row in found) == list(range(len(found)))
        written = [row for row in found if row["file"].startswith("written")]
        assert len(written) == sum(map(len, contents))
        assert not any(row["corrupt"] for row in written)
