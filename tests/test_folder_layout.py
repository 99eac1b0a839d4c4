"""Folders of images as people have them: split folders, archives in archives, names with anything in them."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import Row, SparkSession

from slotwise import storage
from slotwise.errors import UsageError
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources import catalogue_of
from slotwise.sources.layout import layout_of

# What a name may have on Linux and in Hadoop, whose paths know no colon; hidden names are another matter.
NAMES = st.text(st.sampled_from("aZé猫ß7 %+,()'&#?[]{}=!~@;$^._-"), min_size=1, max_size=12).filter(lambda name: name[0] not in "._" and name.strip(" .") == name)
CLASSES = NAMES.filter(lambda name: name.lower() not in ("train", "val", "valid", "test"))


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def settings_for(root: Path, **changes: object) -> PrepareSettings:
    return PrepareSettings(source="folder", input=str(root), **changes).resolved()  # type: ignore[arg-type]


def rows_of(spark: SparkSession, root: Path, **changes: object) -> list[Row]:
    return sorted(catalogue_of("folder")(spark, settings_for(root, **changes)).collect(), key=lambda row: row["row"])


def found(rows: Iterable[Row]) -> list[tuple[str, str | None, str | None]]:
    return [(row["id"], row["label"], row["split"]) for row in rows]


PLANT = "New Plant Diseases Dataset(Augmented)"


def test_plant_villages_own_form(spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [
        "train/Tomato___Late_blight/0003faa8, 1___RS_HL 0023.JPG",
        "train/Tomato___Spider_mites Two-spotted_spider_mite/a+b (1).JPG",
        "train/Tomato___Spider_mites Two-spotted_spider_mite/more/100%25.JPG",
        "valid/Tomato___Late_blight/0003faa8, 1___RS_HL 0023.JPG",
    ]
    fill(tmp_path, *(f"{PLANT}/{PLANT}/{name}" for name in names), f"{PLANT}/{PLANT}/valid/stray.jpg", f"{PLANT}/{PLANT}/top.jpg", f"{PLANT}/read me.txt", ".DS_Store")
    rows = rows_of(spark, tmp_path)
    mites = "Tomato___Spider_mites Two-spotted_spider_mite"
    assert found(rows) == [
        ("top.jpg", None, None),
        (names[0], "Tomato___Late_blight", "train"),
        (names[1], mites, "train"),
        (names[2], mites, "train"),
        (names[3], "Tomato___Late_blight", "validation"),
        ("valid/stray.jpg", None, "validation"),
    ]
    assert [row["status"] for row in rows] == ["missing-category", None, None, None, None, "missing-category"]
    assert all(bytes(row["image"]).decode().endswith(row["id"]) for row in rows)
    said = capsys.readouterr().out.splitlines()
    assert said == [f"the images are in {PLANT}/{PLANT}", f"valid has no folder of {mites}", "splits kept: train, valid; test cut out of train"]
    assert found(rows_of(spark, tmp_path / PLANT / PLANT)) == found(rows), "ids do not depend on how far down --input leads"


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outer=CLASSES, classes=st.lists(CLASSES, min_size=2, max_size=4, unique=True), files=st.lists(NAMES, min_size=1, max_size=6, unique=True), empty=NAMES)
def test_names_of_any_letters(spark: SparkSession, outer: str, classes: list[str], files: list[str], empty: str) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        names = [f"{split}/{label}/{file}.JPG" for split in ("train", "val") for label in classes for file in files]
        fill(root / outer, *names)
        nothing = f"val/{classes[0]}/{empty}.no bytes.png"
        (root / outer / nothing).write_bytes(b"")
        rows = rows_of(spark, root)
        expected = {name: (name.split("/")[1], {"train": "train", "val": "validation"}[name.split("/")[0]]) for name in (*names, nothing)}
        assert {row["id"]: (row["label"], row["split"]) for row in rows} == expected
        assert len(rows) == len(expected)
        assert {row["id"]: bytes(row["image"]).decode() for row in rows} == {**{name: name for name in names}, nothing: ""}
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (["Train", "VAL", "test"], {"Train": "train", "VAL": "validation", "test": "test"}),
        (["training", "validation", "testing"], {"training": "train", "validation": "validation", "testing": "test"}),
        (["train"], {"train": "train"}),
        (["cats", "dogs"], {}),
    ],
)
def test_folders_named_after_splits_are_no_classes(tmp_path: Path, folders: list[str], splits: dict[str, str]) -> None:
    fill(tmp_path, *(f"{folder}/{label}/1.jpg" for folder in folders for label in ("a", "b")))
    layout = layout_of(settings_for(tmp_path))
    assert (layout.root, layout.splits) == (storage.normalise(str(tmp_path)), splits)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert layout_of(settings_for(fill(tmp_path, "train/1.jpg", "bus/1.jpg", "tram/red/1.jpg"))).splits == {}


def test_only_what_holds_nothing_else_is_stepped_into(tmp_path: Path) -> None:
    fill(tmp_path, "a/b/cats/1.jpg", "a/b/dogs/1.jpg", "a/notes.txt")
    inner = storage.normalise(str(tmp_path / "a" / "b"))
    assert layout_of(settings_for(tmp_path)).root == inner
    fill(tmp_path, "a/1.jpg")
    assert layout_of(settings_for(tmp_path)).root == storage.parent(inner), "an image lies beside the folder b"


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["train/a/1.jpg", "valid/a/1.jpg", "docs/1.jpg"], "'train' holds folders as a split would, but lies beside others. Received: docs."),
        (["valid/a/1.jpg", "test/a/1.jpg"], "none for training. Received: test, valid in "),
        (["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/B/1.jpg"], "'val' has classes that the one for training lacks. Received: B."),
        (["train/1.jpg", "test/1.jpg"], "The split folders hold no class folders"),
        (["plants/a/1.jpg", "a/1.jpg", "b/1.jpg"], "'plants' holds folders of the same names as those beside it. Received: a."),
        (["train/a/1.jpg", "train/_b/1.jpg"], "begins with '_' and would be passed over as hidden. Received: _b."),
    ],
)
def test_what_would_be_misunderstood_is_refused(tmp_path: Path, names: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        layout_of(settings_for(fill(tmp_path, *names)))


def test_ways_out_of_refusals(tmp_path: Path) -> None:
    uneven = fill(tmp_path / "uneven", "train/Tomato a/1.jpg", "train/Tomato b/1.jpg", "val/Tomato a/1.jpg", "val/Potato/1.jpg")
    for changes in ({"class_pattern": ["Tomato*"]}, {"keep_splits": False}):
        assert set(layout_of(settings_for(uneven, **changes)).splits) == {"train", "val"}
    no_train = fill(tmp_path / "no train", "valid/a/1.jpg", "test/a/1.jpg")
    assert set(layout_of(settings_for(no_train, keep_splits=False)).splits) == {"valid", "test"}
    copied = fill(tmp_path / "copied", "plants/Tomato a/1.jpg", "Tomato a/1.jpg", "Tomato b/1.jpg")
    assert layout_of(settings_for(copied, class_pattern=["Tomato*"])).splits == {}


def test_links_are_followed_within_the_folder_and_out_of_it_only_if_told(spark: SparkSession, tmp_path: Path) -> None:
    fill(tmp_path / "private", "key.jpg", "album/1.jpg")
    root = fill(tmp_path / "given", "a/1.jpg", "b/new\nline.jpg", "b/back\\slash.jpg")
    (root / "b" / "same.jpg").symlink_to(root / "a" / "1.jpg")
    assert [row["id"] for row in rows_of(spark, root)] == ["a/1.jpg", "b/back\\slash.jpg", "b/new\nline.jpg", "b/same.jpg"]
    for place, target in ((root / "b" / "x.jpg", tmp_path / "private" / "key.jpg"), (root / "c", tmp_path / "private" / "album"), (root / "a" / "up", tmp_path)):
        place.symlink_to(target)
        with pytest.raises(UsageError, match=f"a link that leads out of it. Received: {place.relative_to(root)}. Accepted: .*--follow-links"):
            rows_of(spark, root)
        if place.name != "up":
            assert {"b/x.jpg", "c/1.jpg"} & {row["id"] for row in rows_of(spark, root, follow_links=True)}
        place.unlink()
    fill(root, "b/12:30/1.jpg")
    with pytest.raises(UsageError, match=r"no file with a colon in its name. Received: b/12:30/1\.jpg"):
        rows_of(spark, root)


def test_what_is_no_file_and_what_has_no_name_is_refused(tmp_path: Path) -> None:
    def no_pipe(root: Path) -> None:
        os.mkfifo(root / "a" / "pipe.jpg")

    odd = {
        "a link to nowhere. Received: a/x.jpg": lambda root: (root / "a" / "x.jpg").symlink_to(root / "gone"),
        "neither a file nor a directory. Received: a/pipe.jpg": no_pipe,
        "a name that is not UTF-8. Received: a/\\udcff.jpg": lambda root: open(os.fsencode(root / "a") + b"/\xff.jpg", "wb").close(),
        "a link to nowhere. Received: a/round.jpg": lambda root: (root / "a" / "round.jpg").symlink_to(root / "a" / "round.jpg"),
    }
    for number, (says, make) in enumerate(odd.items()):
        root = fill(tmp_path / str(number), "a/1.jpg", "b/1.jpg")
        make(root)
        with pytest.raises(UsageError, match=re.escape(says)):
            catalogue_of("folder")(None, settings_for(root))  # type: ignore[arg-type]


@pytest.mark.cluster
def test_split_folders_on_hdfs(spark: SparkSession, hdfs: str) -> None:
    names = ["train/a b/1.JPG", "train/100%25 (c); C#/1, 2?.jpg", "valid/a b/1.JPG"]
    for name in names:
        storage.write_bytes(f"{hdfs}/my leaves #1/{name}", name.encode())
    rows = catalogue_of("folder")(spark, PrepareSettings(source="folder", input=hdfs).resolved()).collect()
    assert {row["id"]: (row["label"], row["split"], bytes(row["image"]).decode()) for row in rows} == {
        names[0]: ("a b", "train", names[0]),
        names[1]: ("100%25 (c); C#", "train", names[1]),
        names[2]: ("a b", "validation", names[2]),
    }
