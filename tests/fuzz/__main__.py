"""`make fuzz`: each target for a while with atheris, from the kept seeds; what it finds is kept beside them.

    .venv/bin/python -m tests.fuzz [--seconds 600] [TARGET ...]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

KEPT = Path(__file__).parent / "kept"
_MEMORY_MB = 2_000
_LONGEST_INPUT = 20_000
_SECONDS_AN_INPUT = 10


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="which to run (default: all)")
    parser.add_argument("--seconds", type=int, default=600, help="for each target (default: 600)")
    parser.add_argument("--corpus", type=Path, help="directory that keeps what widened the coverage, for the next run")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _fuzz(options.one, options.seconds, options.corpus)
    from tests.fuzz.targets import TARGETS

    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        corpus = options.corpus or Path(scratch)
        for name in options.targets or TARGETS:
            (corpus / name).mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "tests.fuzz", "--one", name, "--seconds", str(options.seconds), "--corpus", str(corpus)]
            if subprocess.run(command, check=False).returncode:
                failed.append(name)
    if failed:
        sys.exit(f"findings in {', '.join(failed)}: see {KEPT}")


def _fuzz(name: str, seconds: int, corpus: Path) -> None:
    """Fuzzes in this process, which does not return."""
    import atheris

    # Code that was imported before is not watched.
    with atheris.instrument_imports(include=["slotwise", "PIL", "numpy.lib", "zipfile", "csv", "gzip", "json"]):
        from tests.fuzz.targets import TARGETS
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # readers say which file they pass over; libFuzzer writes to the other stream
    limits = [f"-max_total_time={seconds}", f"-rss_limit_mb={_MEMORY_MB}", f"-timeout={_SECONDS_AN_INPUT}", f"-max_len={_LONGEST_INPUT}"]
    places = [str(corpus / name), str(KEPT / name)]
    atheris.Setup([name, *limits, f"-artifact_prefix={KEPT / name}/", "-print_final_stats=1", *places], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
