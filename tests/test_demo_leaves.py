"""The drawn leaves: a folder like PlantVillage's, the same every time, worth learning and not to be learned wholly."""

from __future__ import annotations

import hashlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slotwise import config
from slotwise.errors import UsageError
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources.demo.leaves.__main__ import FOLDER, main
from slotwise.sources.demo.leaves.drawing import draw_leaf, leaf_jpeg
from slotwise.sources.demo.leaves.signs import SIGNS


def drawn(directory: Path, *more: str) -> dict[str, str]:
    """Runs the command for a few small images; returns the checksum of each file by its path."""
    main(["--output", str(directory), "--per-class", "3", "--valid", "2", "--side", "32", *more])
    return {path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.rglob("*") if path.is_file()}


def test_the_folder_is_laid_out_and_named_like_plant_villages(tmp_path: Path) -> None:
    files = drawn(tmp_path / "my leaves")
    assert len(files) == len(SIGNS) * (3 + 2) == 50
    for split, count in (("train", 3), ("valid", 2)):
        for label in SIGNS:
            inside = [path for path in files if re.fullmatch(rf"{re.escape(f'{FOLDER}/{split}/{label}')}/[0-9a-f-]{{36}}___RS 000\d\.JPG", path)]
            assert len(inside) == count
    assert len(set(files.values())) == 50
    with Image.open(tmp_path / "my leaves" / min(files)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 32))


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    assert drawn(tmp_path / "one") == drawn(tmp_path / "two")
    assert not set(drawn(tmp_path / "other", "--seed", "8").values()) & set(drawn(tmp_path / "three").values())


def test_what_is_there_stays_and_bad_numbers_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"something already.*does not exist yet"):
        main(["--output", str(tmp_path)])
    for flag, value in (("--per-class", "0"), ("--valid", "-1"), ("--side", "8")):
        with pytest.raises(UsageError, match=f"{flag} is wrong. Received: {value}"):
            main(["--output", str(tmp_path / "new"), flag, value])
    assert list(tmp_path.iterdir()) == []


def test_help_has_an_example_that_works(tmp_path: Path, repository: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "slotwise.sources.demo.leaves", "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    (example,) = re.findall(r"^  spark-submit jobs/prepare.py (.*)$", done.stdout, re.MULTILINE)
    assert config.load(PrepareSettings, shlex.split(example)).source == "folder"
    (command,) = re.findall(r"^  python -m slotwise.sources.demo.leaves (.*)$", done.stdout, re.MULTILINE)
    (in_readme,) = re.findall(r"python -m slotwise.sources.demo.leaves (.*?)`", (repository / "README.md").read_text())
    for number, arguments in enumerate((command, in_readme)):
        main([*shlex.split(arguments.replace("leaves", str(tmp_path / str(number)))), "--per-class", "1", "--valid", "0", "--side", "16"])


def features(label: str, name: str) -> np.ndarray:
    """Quantiles of green against red, and of edges of that: what is on a leaf, wherever it is."""
    with Image.open(io.BytesIO(leaf_jpeg(name, label, seed=7, side=64))) as image:
        red, green, _ = np.moveaxis(np.asarray(image, np.float64), -1, 0)
    middle = (green - red)[12:-12, 12:-12]
    edges = np.abs(np.diff(middle, axis=0))
    return np.concatenate([np.quantile(values, np.linspace(0, 1, 12)) for values in (middle, edges, (red + green)[12:-12, 12:-12])])


def test_classes_can_be_told_apart_but_not_without_fail() -> None:
    """By the nearest class mean alone, on leaves that it has not seen; chance is a tenth."""
    labels = list(SIGNS)
    seen = np.array([[features(label, f"a{number}") for number in range(40)] for label in labels])
    unseen = np.array([[features(label, f"b{number}") for number in range(30)] for label in labels])
    scale = seen.std(axis=(0, 1)) + 1e-9
    distances = np.abs((unseen[:, :, None] - seen.mean(axis=1)) / scale).sum(axis=-1)
    hits = (distances.argmin(axis=-1) == np.arange(len(labels))[:, None]).mean()
    assert 0.2 < hits < 0.9


def test_a_leaf_has_the_size_asked_for_and_its_class_has_to_exist() -> None:
    assert draw_leaf("x", "Tomato___healthy", 1, 77).size == (77, 77)
    with pytest.raises(KeyError):
        draw_leaf("x", "Potato___healthy", 1)
