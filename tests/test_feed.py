"""The feed: verified shards, the same bytes from memory and file, batches in the planned order, augmentation by key."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from datasets import draw, make_dataset, samples_of
from slotwise import storage
from slotwise.contracts import dataset as datasets
from slotwise.contracts.sample import Sample
from slotwise.errors import DataError
from slotwise.feed import records as feed_records
from slotwise.feed.augment import change, finish
from slotwise.feed.order import Plan, slot_shards
from slotwise.feed.pipeline import evaluation_batches, training_batches
from slotwise.feed.shards import local_shards
from slotwise.formats import FORMATS

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
    """The batches of the second training epoch; `paths` are those of the slot's shards."""
    return epochs_of(paths, 1, memory=memory, first_epoch=1, first_step=first_step, slot=slot, slots=slots, kinds=kinds)[0]


def epochs_of(
    paths: list[str], epochs: int, *, memory: int = LARGE, first_epoch: int = 0, first_step: int = 0, slot: int = 0, slots: int = 1, kinds: tuple[str, ...] = ()
) -> list[list[list[np.ndarray]]]:
    """The batches of some training epochs, the first from a step on."""
    shards = slot_shards(slot, slots, 4)
    plan = Plan((11, 11, 11, 10), 8, 7)
    records = feed_records.load(paths, SHAPE, memory)
    batches = training_batches(records, plan, shards, SHAPE, augmentation=kinds, seed=7, threads=1, first_epoch=first_epoch, first_step=first_step)
    source = ([part.numpy() for part in batch] for batch in batches)
    steps = [sum(plan.step_images(step, shards) > 0 for step in range(first, plan.steps)) for first in [first_step, *[0] * (epochs - 1)]]
    return [list(itertools.islice(source, count)) for count in steps]


def assert_equal_batches(ones: list[list[np.ndarray]], others: list[list[np.ndarray]]) -> None:
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)


def test_both_formats_feed_the_same(prepared: dict[str, str], tmp_path: Path) -> None:
    paths = {name: fetch(uri, "train", tmp_path / name) for name, uri in prepared.items()}
    loaded = {name: feed_records.load(found, SHAPE, LARGE) for name, found in paths.items()}
    expected = [sample for shard in range(4) for sample in samples_of("train", COUNTS[0], 4, SIZE)[shard::4]]
    for records in loaded.values():
        assert records.ids == [sample.id for sample in expected]
        assert records.labels.tolist() == [sample.label for sample in expected]
        assert records.starts.tolist() == [0, 11, 22, 33]
    assert_equal_batches(epoch_of(paths["tfrecord"]), epoch_of(paths["parquet"]))


@pytest.mark.parametrize("kinds", [(), tuple(KINDS)])
@pytest.mark.parametrize("share", [0.0, 0.999], ids=["files", "compressed"])
def test_images_from_files_are_those_in_memory(share: float, kinds: tuple[str, ...], prepared: dict[str, str], tmp_path: Path) -> None:
    paths = fetch(prepared["tfrecord"], "train", tmp_path)
    all_decoded = COUNTS[0] * math.prod(SHAPE)
    memory = int(share * all_decoded)
    held, other = feed_records.load(paths, SHAPE, all_decoded), feed_records.load(paths, SHAPE, memory)
    assert (held.are_decoded, other.are_decoded) == (True, False)
    every = tf.range(COUNTS[0], dtype=tf.int64)
    np.testing.assert_array_equal(held.image(every), tf.stack([other.image(index) for index in every]))
    assert_equal_batches(epoch_of(paths, kinds=kinds), epoch_of(paths, memory=memory, kinds=kinds))


_DECODES = """
import resource, sys
from slotwise.feed import records
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
records.load(sys.argv[1:2], (512, 512, 3), 1 << 30, counts=[1])
before = peak()
held = records.load(sys.argv[1:2], (512, 512, 3), 1 << 30)
print(held.are_decoded, len(held.ids), peak() - before)
"""


def test_decoded_images_are_in_memory_once(tmp_path: Path) -> None:
    """So that `--feed-memory` is what a slot takes for them, also while it decodes."""
    shard, sample = str(tmp_path / "shard.tfrecord"), Sample("a", 0, draw(1, 0, (512, 512)))
    with FORMATS["tfrecord"].writer(shard) as writer:
        for _ in range(150):
            writer.write(sample)
    done = subprocess.run([sys.executable, "-c", _DECODES, shard], capture_output=True, text=True, check=True)
    is_decoded, count, grown = done.stdout.split()
    assert (is_decoded, int(count)) == ("True", 150)
    decoded, compressed = 150 * 512 * 512 * 3, 150 * len(sample.image)
    assert int(grown) < 1.3 * decoded + 2 * compressed


@pytest.mark.parametrize("memory", [0, LARGE])
def test_a_limit_reads_the_first_of_each_shard(memory: int, prepared: dict[str, str], tmp_path: Path) -> None:
    paths = fetch(prepared["tfrecord"], "train", tmp_path)
    whole = feed_records.load(paths, SHAPE, memory)
    part = feed_records.load(paths, SHAPE, memory, counts=[3, 2, 2, 2])
    indices = [0, 1, 2, 11, 12, 22, 23, 33, 34]
    assert part.ids == [whole.ids[index] for index in indices]
    assert part.starts.tolist() == [0, 3, 5, 7]
    for index, other in enumerate(indices):
        np.testing.assert_array_equal(part.image(tf.constant(index)), whole.image(tf.constant(other)))


def test_files_of_a_shard_follow_each_other_up_to_its_count(prepared: dict[str, str], tmp_path: Path) -> None:
    """As where training and validation are trained on."""
    paths = fetch(prepared["tfrecord"], "train", tmp_path)
    whole = feed_records.load(paths, SHAPE, LARGE)
    pairs = feed_records.load(paths, SHAPE, LARGE, files_per_shard=2, counts=[13, 21])
    assert pairs.ids == whole.ids[:13] + whole.ids[22:43]
    assert pairs.starts.tolist() == [0, 13]


def test_epochs_follow_each_other_without_end(prepared: dict[str, str], tmp_path: Path) -> None:
    paths = fetch(prepared["tfrecord"], "train", tmp_path)
    first, second, third = epochs_of(paths, 3)
    assert_equal_batches(second, epoch_of(paths))
    assert sorted(sample for batch in third for sample in samples_by_image(batch)) == sorted(sample for batch in first for sample in samples_by_image(batch))
    # From the middle of one on: what is left of it, then all of the next.
    rest, after = epochs_of(paths, 2, first_epoch=1, first_step=4)
    assert_equal_batches(rest, second[4:])
    assert_equal_batches(after, third)


def samples_by_image(batch: list[np.ndarray]) -> list[tuple[bytes, int]]:
    return [(image.tobytes(), int(label)) for image, label in zip(batch[0], batch[1], strict=True)]


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
    parts = change(picture(), tf.constant(key, tf.int64), kinds)
    result: np.ndarray = finish(*(part[None] for part in parts), SHAPE, kinds)[0].numpy()
    return result


def test_an_image_s_place_in_its_batch_does_not_matter() -> None:
    """Vector instructions take several images at once and leave some over; each has to have the bits that it has alone."""
    keys = range(1, 38)
    parts = [change(picture(key), tf.constant(key, tf.int64), KINDS) for key in keys]
    together = finish(*map(tf.stack, zip(*parts, strict=True)), SHAPE, KINDS).numpy()
    for key, image in zip(keys, together, strict=True):
        alone = finish(*(part[None] for part in change(picture(key), tf.constant(key, tf.int64), KINDS)), SHAPE, KINDS)[0]
        np.testing.assert_array_equal(image, alone)


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
