"""`python -m slotwise.sources.demo.leaves`: writes a folder of drawn tomato leaves of ten classes, for the source `folder`.

It is laid out and named as PlantVillage reaches people: a folder in a folder, in it train and valid, in each a folder a class, with
spaces and parentheses in names, and files that end in .JPG.
"""

from __future__ import annotations

import argparse
import random
import uuid
from collections.abc import Sequence

from slotwise import storage
from slotwise.config import run_job
from slotwise.errors import UsageError
from slotwise.sources.demo.leaves.drawing import leaf_jpeg
from slotwise.sources.demo.leaves.signs import SIGNS

FOLDER = "Tomato Leaves (drawn)"
_EXAMPLE = """\
example, 10,000 images for training and 1,000 for validation, drawn in half a minute:
  python -m slotwise.sources.demo.leaves --output leaves --per-class 1000 --valid 100
  spark-submit jobs/prepare.py --source folder --input leaves"""


def main(arguments: Sequence[str]) -> None:
    """Draws what was asked for.

    Raises:
        UsageError: a number that is not accepted, or the output exists.
    """
    options = _parser().parse_args(arguments)
    for flag, number, least in (("--per-class", options.per_class, 1), ("--valid", options.valid, 0), ("--side", options.side, 16)):
        if number < least:
            raise UsageError(f"The value of {flag} is wrong", received=number, accepted=f"a whole number from {least}")
    output = storage.normalise(options.output)
    if storage.exists(output):
        raise UsageError("There is something already", received=f"--output {options.output}", accepted="a directory that does not exist yet")
    write_leaves(output, per_class=options.per_class, valid=options.valid, side=options.side, seed=options.seed)
    print(f"{len(SIGNS)} classes; images of each: {options.per_class:,} in train, {options.valid:,} in valid\nfolder: {output}")


def write_leaves(uri: str, *, per_class: int, valid: int, side: int, seed: int) -> None:
    """Draws `per_class` images of each class for training and `valid` for validation, `side` pixels wide and high, below `uri`."""
    for label in SIGNS:
        rng = random.Random(f"names/{seed}/{label}")
        for split, count in (("train", per_class), ("valid", valid)):
            directory = storage.child(storage.child(storage.child(uri, FOLDER), split), label)
            for number in range(count):
                name = f"{uuid.UUID(int=rng.getrandbits(128), version=4)}___RS {number:04d}"
                storage.write_bytes(storage.child(directory, f"{name}.JPG"), leaf_jpeg(name, label, seed, side))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m slotwise.sources.demo.leaves",
        description="Draw a folder of tomato leaves, healthy and ill, for the source folder.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", default="leaves", metavar="URI", help="directory to write (default: %(default)s)")
    parser.add_argument("--per-class", type=int, default=1000, metavar="N", help="training images of each class (default: %(default)s)")
    parser.add_argument("--valid", type=int, default=100, metavar="N", help="validation images of each class (default: %(default)s)")
    parser.add_argument("--side", type=int, default=128, metavar="PIXELS", help="width and height of an image (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, metavar="S", help="seed of the drawings (default: %(default)s)")
    return parser


if __name__ == "__main__":
    run_job(main)
