"""The feed: verified shards, the same bytes from memory and file, batches in the planned order, augmentation by key."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from datasets import make_dataset, samples_of
from slotwise import storage
from slotwise.contracts import dataset as datasets
from slotwise.errors import DataError
from slotwise.feed import records as feed_records
from slotwise.feed.augment import augment
from slotwise.feed.order import Plan, slot_shards
from slotwise.feed.pipeline import evaluation_batches, training_batches
from slotwise.feed.shards import local_shards

SIZE = (24, 20)
SHAPE = (*SIZE, 3)
COUNTS = (43, 10, 3)  # the test split has shards without any sample
KINDS = ["flip", "crop", "shift", "rotate", "shear", "zoom", "brightness"]
LARGE = 1 << 30


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("datasets")
    return {name: make_dataset(root / name, format_name=name, shards=4, counts=COUNTS, image_size=SIZE) for name in ("tfrecord", "parquet")}


def fetch(uri: str, split: str, cache: Path, shards: tuple[int, ...] = (0, 1, 2, 3)) -> list[str]:
    return local_shards(uri, datasets.load(uri), split, shards, str(cache))


def epoch_of(paths: list[str], *, memory: int = LARGE, first_step: int = 0, slot: int = 0, slots: int = 1, kinds: tuple[str, ...] = ()) -> list[list[np.ndarray]]:
    """The batches of one training epoch; `paths` are those of the slot's shards."""
    shards = slot_shards(slot, slots, 4)
    order = Plan((11, 11, 11, 10), 8, 7).epoch_order(1, shards)
    batches = training_batches(
        feed_records.load(paths, memory), order, shards, SHAPE, augmentation=kinds, seed=7, epoch=1, threads=1, first_step=first_step
    )  # fmt: skip
    return [[part.numpy() for part in batch] for batch in batches]


def assert_equal_batches(ones: list[list[np.ndarray]], others: list[list[np.ndarray]]) -> None:
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)


def test_both_formats_feed_the_same(prepared: dict[str, str], tmp_path: Path) -> None:
    paths = {name: fetch(uri, "train", tmp_path / name) for name, uri in prepared.items()}
    loaded = {name: feed_records.load(found, LARGE) for name, found in paths.items()}
    expected = [sample for shard in range(4) for sample in samples_of("train", COUNTS[0], 4, SIZE)[shard::4]]
    for records in loaded.values():
        assert records.ids == [sample.id for sample in expected]
        assert records.labels.tolist() == [sample.label for sample in expected]
        assert records.starts.tolist() == [0, 11, 22, 33]
    assert_equal_batches(epoch_of(paths["tfrecord"]), epoch_of(paths["parquet"]))


def test_images_from_files_are_those_in_memory(prepared: dict[str, str], tmp_path: Path) -> None:
    paths = fetch(prepared["tfrecord"], "train", tmp_path)
    held, read = feed_records.load(paths, LARGE), feed_records.load(paths, 0)
    for number in range(COUNTS[0]):
        index = tf.constant(number, tf.int64)
        assert held.image(index).numpy() == read.image(index).numpy()
    assert_equal_batches(epoch_of(paths), epoch_of(paths, memory=0))
    assert_equal_batches(epoch_of(paths, kinds=tuple(KINDS)), epoch_of(paths, memory=0, kinds=tuple(KINDS)))


def test_a_slot_feeds_its_own_part_of_every_step(prepared: dict[str, str], tmp_path: Path) -> None:
    whole = epoch_of(fetch(prepared["tfrecord"], "train", tmp_path))
    parts = [epoch_of(fetch(prepared["tfrecord"], "train", tmp_path, slot_shards(slot, 2, 4)), slot=slot, slots=2) for slot in range(2)]
    assert [len(labels) for _, labels, *_ in whole] == [8, 8, 8, 8, 8, 3]
    for step, batch in enumerate(whole):
        mine = {key: sample for part in parts for key, sample in samples_by_key(part[step]).items()}
        assert mine == samples_by_key(batch)
        places = [place for _, _, (place, _) in mine.values()]
        assert len(set(places)) == len(places)
        assert all(0 <= place < 8 for place in places)


def samples_by_key(batch: list[np.ndarray]) -> dict[int, tuple[int, bytes, list[int]]]:
    """Label, image and origin (place, record) of each sample of a batch."""
    return {int(key): (int(label), image.tobytes(), origin.tolist()) for image, label, key, origin in zip(*batch, strict=True)}


@pytest.mark.parametrize("first_step", [1, 4, 5, 6])
def test_an_epoch_can_begin_at_any_step(first_step: int, prepared: dict[str, str], tmp_path: Path) -> None:
    paths = fetch(prepared["tfrecord"], "train", tmp_path)
    assert_equal_batches(epoch_of(paths, first_step=first_step), epoch_of(paths)[first_step:])


@pytest.mark.parametrize(("split", "count"), [("validation", COUNTS[1]), ("test", COUNTS[2])])
def test_evaluation_sees_each_sample_once(split: str, count: int, prepared: dict[str, str], tmp_path: Path) -> None:
    seen = []
    for slot in range(3):
        paths = fetch(prepared["parquet"], split, tmp_path, slot_shards(slot, 3, 4))
        for images, labels in evaluation_batches(paths, SHAPE, batch_size=4, threads=1):
            seen += [(image.tobytes(), int(label)) for image, label in zip(images.numpy(), labels.numpy(), strict=True)]
    decoded = [
        (tf.io.decode_jpeg(sample.image, dct_method="INTEGER_ACCURATE").numpy().tobytes(), sample.label)
        for sample in samples_of(split, count, 4, SIZE)
    ]
    assert sorted(seen) == sorted(decoded)


@pytest.mark.parametrize("format_name", ["tfrecord", "parquet"])
def test_a_damaged_shard_is_named(format_name: str, tmp_path: Path) -> None:
    uri = make_dataset(tmp_path / "dataset", format_name=format_name, shards=2, counts=(6, 2, 2), image_size=SIZE)
    shard = tmp_path / "dataset" / "train" / f"shard-00001.{format_name}"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert len(fetch(uri, "train", tmp_path / "cache", (0,))) == 1
    with pytest.raises(DataError, match=rf"shard-00001\.{format_name} is damaged.*SHA-256"):
        fetch(uri, "train", tmp_path / "cache", (0, 1))
    shard.unlink()
    with pytest.raises(DataError, match="shard-00001"):
        fetch(uri, "train", tmp_path / "cache", (0, 1))


def test_a_fetched_shard_is_kept_and_fetched_once(tmp_path: Path) -> None:
    uri = make_dataset(tmp_path / "dataset", format_name="parquet", shards=2, counts=(6, 2, 2), image_size=SIZE)
    paths = fetch(uri, "train", tmp_path / "cache", (1, 0))
    assert sorted(name for name in storage.children((tmp_path / "cache").as_uri())) == sorted(Path(path).name for path in paths)
    for shard in (tmp_path / "dataset" / "train").iterdir():
        shard.unlink()
    assert fetch(uri, "train", tmp_path / "cache", (1, 0)) == paths


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(directory)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"this user cannot mount a small file system: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


@pytest.mark.parametrize("format_name", ["tfrecord", "parquet"])
def test_a_full_disk_is_named_and_nothing_is_left_on_it(format_name: str, small_disk: Path, tmp_path: Path) -> None:
    uri = make_dataset(tmp_path / "dataset", format_name=format_name, shards=1, counts=(40, 2, 2), image_size=SIZE)
    record = datasets.load(uri)
    assert record.splits["train"].shards[0].bytes > 16 * 1024
    behind = uri.replace("file://", "local://")  # a local TFRecord shard would be used where it lies
    with pytest.raises(DataError, match=rf"local cache .*small.* cannot take the shard .*shard-00000\.{format_name} of .* bytes: No space left on device.*--local-cache"):
        local_shards(behind, record, "train", [0], str(small_disk / "cache"))
    assert list((small_disk / "cache").iterdir()) == []


def test_a_cache_that_is_no_directory_is_named(tmp_path: Path) -> None:
    uri = make_dataset(tmp_path / "dataset", format_name="parquet", shards=1, counts=(4, 2, 2), image_size=SIZE)
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match=r"local cache .* cannot take the shard .*--local-cache"):
        fetch(uri, "train", tmp_path / "cache", (0,))


def picture(seed: int = 1) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).integers(0, 256, SHAPE), tf.uint8)


def changed(kinds: list[str], key: int) -> np.ndarray:
    result: np.ndarray = augment(picture(), tf.constant(key, tf.int64), kinds).numpy()
    return result


@pytest.mark.parametrize("kinds", [*[[kind] for kind in KINDS], KINDS])
def test_augmentation_depends_on_the_key_and_stays_in_range(kinds: list[str]) -> None:
    images = [changed(kinds, key) for key in range(1, 13)]
    np.testing.assert_array_equal(images[0], changed(kinds, 1))
    assert all(image.shape == SHAPE and image.dtype == np.float32 for image in images)
    assert min(image.min() for image in images) >= 0
    assert max(image.max() for image in images) <= 255 + 1e-3
    if set(kinds) - {"flip", "crop"}:
        assert len({image.tobytes() for image in images}) == len(images)
    assert any((image != picture().numpy()).any() for image in images)


def test_flip_only_flips() -> None:
    original = picture().numpy().astype(np.float32)
    forms = [original.tobytes(), original[:, ::-1].tobytes()]
    drawn = [forms.index(changed(["flip"], key).tobytes()) for key in range(200)]
    assert 60 < sum(drawn) < 140


def test_a_crop_is_nine_tenths_from_any_place_at_full_size_again() -> None:
    height, width = round(0.9 * SHAPE[0]), round(0.9 * SHAPE[1])
    parts = [picture()[top : top + height, left : left + width] for top in range(SHAPE[0] - height + 1) for left in range(SHAPE[1] - width + 1)]
    forms = [tf.image.resize(part, SHAPE[:2]).numpy() for part in parts]
    drawn = [[number for number, form in enumerate(forms) if np.allclose(form, changed(["crop"], key), atol=1e-3)] for key in range(20 * len(forms))]
    assert all(len(found) == 1 for found in drawn)
    assert {found[0] for found in drawn} == set(range(len(forms)))


def test_a_kind_draws_the_same_beside_others() -> None:
    original = picture().numpy().astype(np.float32)
    for key in range(1, 9):
        brighter = changed(["brightness"], key)
        flipped = (changed(["flip"], key) != original).any()
        np.testing.assert_array_equal(changed(["flip", "brightness"], key), brighter[:, ::-1] if flipped else brighter)


def test_no_augmentation_changes_nothing() -> None:
    np.testing.assert_array_equal(changed([], 3), picture().numpy())


@pytest.mark.parametrize("format_name", ["tfrecord", "parquet"])
def test_a_damaged_copy_in_the_cache_is_fetched_again(tmp_path: Path, format_name: str) -> None:
    uri = make_dataset(tmp_path / "dataset", format_name=format_name, shards=2)
    record = datasets.load(uri)
    cache = tmp_path / "cache"
    if format_name == "tfrecord":
        # A local TFRecord shard is used where it lies; behind another scheme it is copied.
        uri = uri.replace("file://", "local://")
    (copy,) = local_shards(uri, record, "train", [1], str(cache))
    whole = Path(copy).read_bytes()
    Path(copy).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (again,) = local_shards(uri, record, "train", [1], str(cache))
    assert Path(again).read_bytes() == whole
