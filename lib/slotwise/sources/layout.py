"""How the images of a folder are laid out: in class folders, or in class folders within split folders, maybe below a folder or two."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from slotwise import storage
from slotwise.errors import UsageError
from slotwise.settings.prepare import PrepareSettings
from slotwise.settings.types import pattern_regex

ENDINGS = ("jpg", "jpeg", "png", "gif", "webp", "bmp", "tif", "tiff")
_ACCEPTED = f"a directory with one folder per class, with files of {', '.join(ENDINGS)} in it"
_SPLIT_NAMES = {"train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test", "testing": "test"}
_NAMED = 10


@dataclass(frozen=True)
class Layout:
    """Where the class folders are."""

    root: str
    """URI of the directory that holds the class folders, or the split folders."""
    splits: dict[str, str] = field(default_factory=dict)
    """The split of each split folder, by the folder's name; empty where the class folders lie directly in `root`."""


def layout_of(settings: PrepareSettings) -> Layout:
    """Looks into the folders below `settings.input`, and prints what is not just one folder per class.

    A directory that holds a single folder, and no images beside it, is stepped into, as archives often have their own name in them
    once more. Folders that are all named after splits (`train`, `training`, `val`, `valid`, `validation`, `test`, `testing`, in any
    case) are split folders, whose folders are the classes.

    Raises:
        UsageError: there is no such directory, no class folder in it, or one that counts as hidden; a split folder, or a copy of the
            class folders, lies beside class folders; the splits to be kept lack one for training, or that lacks a class of another.
    """
    root, folders = _stepped_into(str(settings.input))
    splits = {name: _SPLIT_NAMES[name.lower()] for name in folders if name.lower() in _SPLIT_NAMES}
    if len(splits) < len(folders):
        _check_classes(root, folders, settings.class_pattern)
        return Layout(root)
    inner = {name: _folders(storage.child(root, name)) for name in splits}
    if not any(inner.values()):
        raise UsageError("The split folders hold no class folders", received=f"{', '.join(splits)} in {root}", accepted=_ACCEPTED)
    if settings.keep_splits:
        _check_splits(root, splits, {name: set(_fitting(classes, settings.class_pattern)) for name, classes in inner.items()})
    else:
        print(f"images of {', '.join(splits)} are divided anew", flush=True)
    return Layout(root, splits)


def is_image(name: str) -> bool:
    """Whether a file is one of an image by its ending, in any case."""
    return name.lower().rpartition(".")[2] in ENDINGS


def _stepped_into(given: str) -> tuple[str, list[str]]:
    """The first directory from `given` on that holds more than one folder, and the names of its folders."""
    if not storage.is_directory(given):
        raise UsageError("The --input of source folder is no directory", received=given, accepted=_ACCEPTED)
    root, folders, steps = given, _folders(given), []
    if not folders:
        raise UsageError("The --input directory has no class folders", received=given, accepted=_ACCEPTED)
    while len(folders) == 1 and folders[0].lower() not in _SPLIT_NAMES and not _has_images(root):
        inner = _folders(storage.child(root, folders[0]))
        if not inner:
            break
        steps += folders
        root, folders = storage.child(root, folders[0]), inner
    if steps:
        print(f"the images are in {'/'.join(steps)}", flush=True)
    return root, folders


def _folders(uri: str) -> list[str]:
    folders = [name for name in storage.folders_and_files(uri)[0] if not name.startswith(".")]
    hidden = [name for name in folders if name.startswith("_")]
    if hidden:
        raise UsageError("A class folder begins with '_' and would be passed over as hidden", received=hidden[0], accepted="names that begin otherwise")
    return folders


def _has_images(uri: str) -> bool:
    return any(is_image(name) and not name.startswith((".", "_")) for name in storage.folders_and_files(uri)[1])


def _fitting(classes: Sequence[str], patterns: Sequence[str]) -> list[str]:
    return [name for name in classes if not patterns or re.match(pattern_regex(patterns), name)]


def _check_classes(root: str, folders: Sequence[str], patterns: Sequence[str]) -> None:
    """Sees that no split, and no copy of the classes, is taken for a class: both hold folders, where a class has images."""
    classes = [name for name in folders if name.lower() not in _SPLIT_NAMES]
    for name in folders:
        if name in classes and not _fitting([name], patterns):
            continue
        inner = storage.folders_and_files(storage.child(root, name))[0]
        if inner and name not in classes:
            raise UsageError(f"The folder '{name}' holds folders as a split would, but lies beside others", received=_list(classes), accepted="only split folders, or only class folders")
        if again := sorted({*inner} & {*folders} - {name}):
            accepted = "that folder itself as --input, or a --class-pattern that leaves it out"
            raise UsageError(f"The folder '{name}' holds folders of the same names as those beside it", received=_list(again), accepted=accepted)


def _check_splits(root: str, splits: dict[str, str], classes: dict[str, set[str]]) -> None:
    trained = set().union(*(classes[name] for name, split in splits.items() if split == "train"))
    if "train" not in splits.values():
        raise UsageError("There are split folders, but none for training", received=f"{', '.join(splits)} in {root}", accepted="a folder 'train' beside them, or --no-keep-splits to divide all images anew")
    for name in splits:
        if unknown := classes[name] - trained:
            accepted = "the same class folders in each split folder, a --class-pattern that leaves the others out, or --no-keep-splits"
            raise UsageError(f"The split folder '{name}' has classes that the one for training lacks", received=_list(sorted(unknown)), accepted=accepted)
        if lacking := trained - classes[name]:
            print(f"{name} has no folder of {_list(sorted(lacking))}", flush=True)
    cut = [split for split in ("validation", "test") if split not in splits.values()]
    print(f"splits kept: {', '.join(splits)}" + (f"; {' and '.join(cut)} cut out of train" if cut else ""), flush=True)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
