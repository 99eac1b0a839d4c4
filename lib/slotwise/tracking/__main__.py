"""`python -m slotwise.tracking RUN …`: TensorBoard on this machine, for runs wherever they are, also while they train."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import types
from collections.abc import Sequence
from pathlib import Path

from slotwise import storage
from slotwise.config import run_job
from slotwise.tracking.mirror import mirror, with_events

_EVERY_SECONDS = 10.0


def main(arguments: Sequence[str]) -> None:
    """Shows runs until it is interrupted.

    Raises:
        UsageError: a run has no event files.
    """
    options = _parser().parse_args(arguments)
    runs = [run for uri in options.runs for run in with_events(uri)]
    with tempfile.TemporaryDirectory(prefix="slotwise-tensorboard-") as scratch:
        copies = {run: Path(scratch) / f"{number:02d} {storage.name(run)}" if len(runs) > 1 else Path(scratch) / storage.name(run) for number, run in enumerate(runs, 1)}
        _renew(copies)
        print(f"TensorBoard: {_serve(scratch, options.port)} (Ctrl-C ends it)", flush=True)
        try:
            while True:
                time.sleep(_EVERY_SECONDS)
                try:
                    _renew(copies)
                except Exception as error:  # a storage that is away, or a run that has just been replaced
                    print(f"not renewed: {error}", flush=True)
        except KeyboardInterrupt:
            return


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m slotwise.tracking", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run, or a directory of runs, as path or URI")
    parser.add_argument("--port", type=int, help="0 for any free one (default: 6006, or the next that is free)")
    return parser


def _renew(copies: dict[str, Path]) -> None:
    for run, directory in copies.items():
        mirror(run, directory)


def _serve(directory: str, port: int | None) -> str:
    """Starts TensorBoard on loopback; returns its address."""
    # TensorBoard's own sign for doing without TensorFlow, which takes seconds to load.
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
    from tensorboard import program

    board = program.TensorBoard()
    board.configure(argv=[None, "--logdir", directory, "--host", "127.0.0.1", *([] if port is None else ["--port", str(port)])])
    return str(board.launch())


if __name__ == "__main__":
    run_job(main)
