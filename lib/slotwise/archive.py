"""`python -m slotwise.archive`: slotwise and all that it needs, as installed here, in one file for spark-submit's `--archives`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import cache_from_source
from pathlib import Path

from slotwise import storage
from slotwise.config import run_job
from slotwise.errors import UsageError

_OWN = "slotwise"
_ENDINGS = (".tar.gz", ".tgz", ".tar")  # a zip would hold a copy of Python's program in the place of the link to it
# Spark brings its own jars to the containers, and nothing is compiled against TensorFlow there; a third of the other files are packages' tests.
_LEFT_OUT = ("pyspark/jars/", "tensorflow/include/")
_TESTS = "tests"


def main(arguments: Sequence[str]) -> None:
    """Writes the archive that the command line asks for.

    Raises:
        UsageError: a value that is not accepted, or a package that is not installed.
    """
    options = _parser().parse_args(arguments)
    output = storage.normalise(options.output)
    if not output.endswith(_ENDINGS):
        raise UsageError("YARN unpacks an archive by its name", received=f"--output {options.output}", accepted=f"a name that ends in {', '.join(_ENDINGS)}")
    packages = needed(_OWN, options.extras, options.without)
    with tempfile.TemporaryDirectory(prefix="slotwise-archive-") as scratch:
        packed = Path(scratch) / storage.name(output)
        pack(packages, packed, compress_level=options.compress_level, python_prefix=options.python_prefix)
        size = packed.stat().st_size
        storage.upload(str(packed), output)
    print(f"{len(packages)} packages, {size / 1e6:,.0f} MB: {output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m slotwise.archive", description=__doc__)
    parser.add_argument("--output", default="workspace/environment.tar.gz", help="a path or URI, such as one on HDFS; .tar is not compressed (default: %(default)s)")
    parser.add_argument("--extras", nargs="*", default=["petastorm"], help="slotwise's extras that travel too, none if no name follows (default: petastorm)")
    parser.add_argument("--without", nargs="*", default=[], help="packages to leave out, with what only they need: in client mode the driver alone uses matplotlib, scikit-learn and keras-tuner")
    parser.add_argument("--compress-level", type=int, default=1, choices=range(10), help="gzip's (default: %(default)s)")
    parser.add_argument("--python-prefix", help="where the nodes have the same Python, if not where this machine has it: /usr for /usr/bin/python3.11")
    return parser


def needed(name: str, extras: Sequence[str], without: Sequence[str] = ()) -> list[Distribution]:
    """A package and, without end, those that it requires on this machine.

    Args:
        without: not these, nor what they require unless others do too.

    Raises:
        UsageError: one is not installed.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    wanted = [(name, extra) for extra in ("", *extras)]
    while wanted:
        package, extra = wanted.pop()
        if (package, extra) in seen or package in without:
            continue
        seen.add((package, extra))
        try:
            found[package] = found.get(package) or distribution(package)
        except PackageNotFoundError as error:
            raise UsageError(f"{package} is not installed", received=f"--extras {' '.join(extras)}", accepted="extras that are installed here: make setup, make torch") from error
        for text in found[package].requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                wanted += [(canonicalize_name(requirement.name), each) for each in ("", *requirement.extras)]
    return [found[package] for package in sorted(found)]


def pack(packages: Sequence[Distribution], output: Path, *, compress_level: int, python_prefix: str | None = None) -> None:
    """Writes an archive of a fresh environment with these packages, by venv-pack.

    Raises:
        UsageError: venv-pack is not installed.
    """
    try:
        import venv_pack
    except ImportError as error:
        raise UsageError("venv-pack is not installed", received=sys.executable, accepted="an environment made by make setup, or pip install venv-pack") from error

    empty = output.parent / "environment"
    venv.create(empty, symlinks=True, with_pip=False)
    environment = venv_pack.Env(prefix=str(empty))
    (target,) = (path.relative_to(empty) for path in empty.glob("lib/python*/site-packages"))
    for package in packages:
        environment.files.extend(venv_pack.File(str(source), str(target / name)) for source, name in _files(package))
    environment.pack(output=str(output), compress_level=compress_level, python_prefix=python_prefix)
    output.chmod(0o644)  # venv-pack keeps it from others


def _files(package: Distribution) -> Iterator[tuple[Path, str]]:
    """Each file of an installed package with its name below `site-packages`; programs of `bin` stay here, they are for people."""
    if package.metadata["Name"] == _OWN:
        yield from _own_files(package)
        return
    listed = {str(file) for file in package.files or [] if not str(file).startswith(("..", "/", *_LEFT_OUT)) and _TESTS not in file.parts[:-1]}
    # Compiled by the first import, or by pip, which then lists it.
    compiled = {cache_from_source(name) for name in listed if name.endswith(".py")}
    for name in sorted(listed | compiled):
        source = Path(str(package.locate_file(name)))
        if source.is_file():
            yield source, name


def _own_files(package: Distribution) -> Iterator[tuple[Path, str]]:
    """slotwise's code, which an editable installation only points to, and what says its version."""
    root = Path(__file__).parent
    for source in sorted(root.rglob("*")):
        if source.is_file() and not source.name.endswith(".pyc"):
            yield source, str(source.relative_to(root.parent))
    for file in package.files or []:
        if file.parent.name.endswith(".dist-info") and file.name in ("METADATA", "WHEEL", "INSTALLER", "top_level.txt"):
            yield Path(str(package.locate_file(file))), str(file)


if __name__ == "__main__":
    run_job(main)
