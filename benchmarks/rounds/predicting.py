"""predict on one slot against a loop of `model(x)` by hand: the same files, the same model, one core each; HDFS has the other core."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from benchmarks.data import dataset
from benchmarks.pairs import Claim, Contestants
from benchmarks.processes import pinned, rate_of
from benchmarks.rounds.round import Round
from benchmarks.submit import command_of, run, submit
from slotwise import storage
from slotwise.contracts import dataset as datasets
from slotwise.contracts.paths import RunPaths
from slotwise.formats import tfrecord
from slotwise.localcluster.cluster import LocalCluster, Workers

_FILES, _FILES_A_FOLDER, _BATCH = 60_000, 1_000, 128
_WRITERS = 200
_MASTER = "local[1]"
# Lines of progress say a rate too, the first of them 0.
_RATE = re.compile(r" images? in [^:]+: ([\d,]+) images/s")


def _in_place(is_hdfs: bool) -> Callable[[], AbstractContextManager[Contestants]]:
    @contextmanager
    def contestants() -> Iterator[Contestants]:
        with ExitStack() as opened:
            root = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="slotwise-bench-")))
            trained = (root / "run").as_uri()
            submit("jobs/train_distributed.py", "--dataset", dataset("small"), "--run", trained, "--model", "simple", "--epochs", "1", master=_MASTER)
            place = opened.enter_context(LocalCluster(root / "cluster", workers=Workers(0))).hdfs if is_hdfs else root.as_uri()
            images, predictions = f"{place}/images", f"{place}/predictions"
            _write(images)
            command = command_of("jobs/predict.py", "--run", trained, "--input", images, "--output", predictions, "--batch-size", str(_BATCH), "--overwrite", master=_MASTER)

            model = storage.local_path(RunPaths(trained).model)
            loops = {f"loop, {decoder}": rate_of("peers.plain_loop", model, images, _BATCH, decoder) for decoder in ("pillow", "tensorflow")}
            yield {"predict": lambda: rate_said(run(pinned(command, 0))), **loops}

    return contestants


def rate_said(text: str) -> float:
    """The images/s of the whole stage, of all that predict prints."""
    found = _RATE.search(text)
    assert found, "predict says its rate"
    return float(found[1].replace(",", ""))


def _write(images: str) -> None:
    """The training images of the small dataset over and over, each in a file of its own."""
    uri = dataset("small")
    shards = datasets.load(uri).splits["train"].shards
    contents = [sample.image for shard in shards for sample in tfrecord.read(storage.local_path(storage.join(uri, shard.file)))]
    fs, root = storage.filesystem(images)
    for first in range(0, _FILES, _FILES_A_FOLDER):
        fs.makedirs(f"{root}/{first:05}", exist_ok=True)

    def write(number: int) -> None:
        with fs.open(f"{root}/{number - number % _FILES_A_FOLDER:05}/{number:05}.jpg", "wb") as file:
            file.write(contents[number % len(contents)])

    # HDFS takes most of a second to close a file, and does not mind how many at a time.
    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(write, range(_FILES)))


ROUNDS = tuple(
    Round(
        f"predicting, {where}",
        (Claim(f"predict on one core / a loop of model(x) on one core, {_FILES:,} files of 32x32 {where}", 0.9, "predict", ("loop, pillow", "loop, tensorflow")),),
        _in_place(is_hdfs),
    )
    for where, is_hdfs in (("on the local disk", False), ("on HDFS", True))
)
