"""prepare against img2dataset: the same table of URLs, the same server, the same output size, each a whole job by spark-submit.

prepare fetches them all (its 2,200 per class are more than there are), and also describes, splits, balances and shuffles them. The server is nginx, which is faster than either.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.machine import busy_seconds
from benchmarks.memory import PeakMemory
from benchmarks.pairs import Claim, Contestants
from benchmarks.rounds.round import Round
from benchmarks.submit import command_of, environment
from slotwise import storage
from slotwise.contracts import dataset as datasets
from slotwise.imaging import JPEG_QUALITY
from slotwise.localcluster.processes import free_port

_IMAGES, _CLASSES, _SIZE = 10_000, 10, 150
_CORES = 2
_MASTER = f"local[{_CORES}]"


@contextmanager
def _contestants() -> Iterator[Contestants]:
    with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory:
        root = Path(directory)
        with _server(root) as url:
            table = _write_table(root, url)
            busy: dict[str, float] = {}
            peaks: dict[str, float] = {}

            def rate(name: str, *command: str) -> Callable[[], float]:
                def measure() -> float:
                    for made in ("dataset", "cache", "images"):
                        shutil.rmtree(root / made, ignore_errors=True)
                    before = busy_seconds()
                    seconds, peaks[name] = _run(list(command))
                    busy[name] = busy_seconds() - before
                    return _IMAGES / seconds

                return measure

            flags = [
                "--source", "covers", "--input", str(table), "--dataset", str(root / "dataset"), "--cache", str(root / "cache"), "--image-size", f"{_SIZE}x{_SIZE}",
                "--classes", str(_CLASSES), "--per-host", "64", "--allow-addresses", "127.0.0.0/8", "--overwrite",
            ]  # fmt: skip
            measure_prepare = rate("prepare", *command_of("jobs/prepare.py", *flags, master=_MASTER))

            def prepare() -> float:
                found = measure_prepare()
                parts = datasets.load(storage.normalise(str(root / "dataset"))).seconds
                print(f"    prepare: {', '.join(f'{name} {seconds:.1f} s' for name, seconds in parts.items())}; {busy['prepare']:.1f} s of processor", flush=True)
                return found

            img2dataset = rate("img2dataset", *command_of("benchmarks/peers/img2dataset_job.py", str(table), str(root / "images"), str(_SIZE), str(JPEG_QUALITY), master=_MASTER))
            yield {
                "prepare": prepare,
                "img2dataset": img2dataset,
                # The server's and the system's share in it too.
                "prepare without a gap": lambda: _IMAGES / (_taken(busy, "prepare", prepare) / _CORES),
                # The less the better, so the inverse is the rate.
                "prepare's memory": lambda: 1 / _taken(peaks, "prepare", prepare),
                "img2dataset's memory": lambda: 1 / _taken(peaks, "img2dataset", img2dataset),
            }


def _taken(figures: dict[str, float], name: str, measure: Callable[[], float]) -> float:
    """A figure of the run that this turn has measured; where nobody asked for that one's rate, it is measured for this."""
    if name not in figures:
        measure()
    return figures.pop(name)


def _run(command: list[str]) -> tuple[float, int]:
    """Seconds and peak memory of a command."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())
    memory = PeakMemory(process.pid)
    said = process.communicate()[0]
    peak = memory.stop()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{said}")
    return time.monotonic() - began, peak


@contextmanager
def _server(root: Path) -> Iterator[str]:
    """nginx on loopback with JPEGs of 400x600 pixels and about 40 kB."""
    if shutil.which("nginx") is None:
        raise RuntimeError("this round needs nginx: apt-get install nginx-light")
    files = root / "served"
    files.mkdir()
    with ProcessPoolExecutor() as pool:
        for number, picture in enumerate(pool.map(_picture, range(_IMAGES), chunksize=100)):
            (files / f"{number}.jpg").write_bytes(picture)
    port = free_port()
    configuration = root / "nginx.conf"
    configuration.write_text(
        f"daemon off; pid {root}/nginx.pid; error_log {root}/nginx.log; events {{ worker_connections 1024; }}\n"
        f"http {{ access_log off; keepalive_requests 100000; server {{ listen 127.0.0.1:{port}; root {files}; }} }}\n"
    )
    os.chmod(root, 0o755)  # nginx reads as another user
    process = subprocess.Popen(["nginx", "-c", str(configuration), "-e", str(root / "nginx.log")])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@cache
def _grain() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 8, (600, 400, 1)).astype(np.float32)


def _picture(number: int) -> bytes:
    """Coarse shapes of its own under a fine grain, for prepare keeps one of images that are there twice."""
    drawn = np.random.default_rng(number).integers(0, 256, (15, 10, 3), np.uint8)
    coarse = np.asarray(Image.fromarray(drawn).resize((400, 600), Image.Resampling.BICUBIC), np.float32)
    pixels = np.clip(coarse + _grain(), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=75)
    return file.getvalue()


def _write_table(root: Path, url: str) -> Path:
    path = root / "books.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Title", "image", "categories"])
        writer.writerows([f"Book {number}", f"{url}/{number}.jpg", f"['Class {number % _CLASSES}']"] for number in range(_IMAGES))
    return path


ROUND = Round(
    "preparing",
    (
        Claim("prepare, a whole job / img2dataset on Spark, 10,000 images of 400x600", 1.0, "prepare", ("img2dataset",)),
        Claim("prepare, if its processor time filled every core without a gap / img2dataset", None, "prepare without a gap", ("img2dataset",)),
        Claim("peak memory of img2dataset on Spark / of prepare", 1.0, "prepare's memory", ("img2dataset's memory",)),
    ),
    _contestants,
)
