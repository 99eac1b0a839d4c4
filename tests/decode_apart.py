"""Reads each image file of a folder in a process of its own, and says on a line of JSON what came of it and what it took.

Usage: decode_apart.py FOLDER MAX_PIXELS SECONDS MEGABYTES
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import warnings
from pathlib import Path

from slotwise.imaging import ImageFailure, normalise


def main(folder: str, max_pixels: str, seconds: str, megabytes: str) -> None:
    """Each process is ended after `seconds`, and has `megabytes` more of addresses than it started with."""
    warnings.simplefilter("ignore")
    normalise(b"", height=64, width=48, max_pixels=1)
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        sys.stdout.flush()
        process = os.fork()
        if not process:
            signal.alarm(int(seconds))
            _decode(path, int(max_pixels), int(megabytes) * 2**20)
            sys.stdout.flush()
            os._exit(0)
        _, status, used = os.wait4(process, 0)
        print(json.dumps({"name": path.name, "status": status, "seconds": used.ru_utime + used.ru_stime, "kilobytes": used.ru_maxrss}))


def _decode(path: Path, max_pixels: int, more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more,) * 2)
    found = normalise(path.read_bytes(), height=64, width=48, max_pixels=max_pixels)
    end, error = (found.status.value, found.error) if isinstance(found, ImageFailure) else ("image", "")
    print(json.dumps({"name": path.name, "end": end, "error": error}))


if __name__ == "__main__":
    main(*sys.argv[1:])
