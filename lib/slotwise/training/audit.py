"""The audit of a run: which samples each epoch fed, in which step and on which slot, and whether each came exactly once.

Every slot adds its own samples to the sum that the gradients go through: at each place of the global batch, the record that
was fed there and the slot that fed it, both counted from 1 (0: none). So the chief writes down what really entered the step,
and with a checkpoint it goes back to the same step as the weights. Whatever is fed twice, or by two slots at one place, makes
another sample missing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slotwise import storage
from slotwise.contracts import run as runs
from slotwise.contracts.paths import RunPaths
from slotwise.contracts.run import AuditRecord
from slotwise.errors import DataError
from slotwise.training.checkpoints import Checkpoints

_NAMED_IDS = 5


def write_ids(run: str, shard: int, ids: Sequence[str]) -> None:
    """Keeps the ids of a training shard in the order of its records, once for a run."""
    uri = RunPaths(run).audit_ids(shard)
    if not storage.exists(uri):
        _write(uri, pa.table({"id": pa.array(ids, pa.string())}))


def write_epoch(run: str, epoch: int, fed: npt.NDArray[np.int32], shards: int) -> None:
    """Keeps what an epoch (from 1) fed.

    Args:
        fed: int32 [steps, batch, 2]: record and slot at each place of each step.
        shards: logical shards of the training split; each has `batch / shards` places one after another.
    """
    steps, places = np.nonzero(fed[:, :, 0])
    columns = {
        "step": steps.astype(np.int32),
        "slot": fed[steps, places, 1] - 1,
        "shard": (places // (fed.shape[1] // shards)).astype(np.int32),
        "record": fed[steps, places, 0] - 1,
    }
    _write(RunPaths(run).audit_epoch(epoch), pa.table(columns))


def read_epoch(run: str, epoch: int) -> pa.Table:
    """What an epoch fed: columns step, slot, shard, record, all int32.

    Raises:
        DataError: its file is missing or damaged.
    """
    return _read(RunPaths(run).audit_epoch(epoch))


def check_run(run: str) -> AuditRecord:
    """Audits the epochs that a run has finished, whether the run itself is finished or not.

    Raises:
        DataError: none is, or a file of the audit is missing or damaged.
    """
    if storage.exists(RunPaths(run).record):
        record = runs.load(run)
        epochs, settings = record.epochs, record.settings
    else:
        checkpoint = Checkpoints(RunPaths(run).checkpoints).latest()
        epochs, settings = (checkpoint.progress.history, checkpoint.progress.settings) if checkpoint else ([], {})
    if not epochs:
        raise DataError(f"There is no finished epoch of a run at {run}")
    return check(run, len(epochs), epochs[0].images if settings.get("steps_per_epoch") else None)


def check(run: str, epochs: int, per_epoch: int | None = None) -> AuditRecord:
    """Counts how often each of the first `epochs` epochs of a run fed each training sample.

    Args:
        per_epoch: samples that an epoch is meant to feed, each once at most; all unless told.

    Raises:
        DataError: a file of the audit is missing or damaged.
    """
    ids = _ids(run)
    starts = np.cumsum([0, *map(len, ids)])
    names = [identity for shard in ids for identity in shard]
    wanted = len(names) if per_epoch is None else per_epoch
    faults = []
    for epoch in range(1, epochs + 1):
        fed = read_epoch(run, epoch)
        shard, record = (fed[name].to_numpy() for name in ("shard", "record"))
        known = (shard < len(ids)) & (record < np.diff(starts)[np.minimum(shard, len(ids) - 1)])
        counts = np.bincount(starts[shard[known]] + record[known], minlength=len(names))
        if fault := _fault(names, counts, int((~known).sum()), wanted):
            faults.append(f"epoch {epoch}: {fault}")
    return AuditRecord(samples=len(names), epochs=epochs, per_epoch=wanted, faults=faults)


def _fault(names: Sequence[str], counts: npt.NDArray[np.int64], unknown: int, wanted: int) -> str:
    """What is wrong with an epoch, or nothing."""
    parts = []
    missing, repeated = np.flatnonzero(counts == 0), np.flatnonzero(counts > 1)
    if np.count_nonzero(counts) != wanted:
        seen = f"{np.count_nonzero(counts):,} of {wanted:,} ids seen"
        parts.append(f"{seen}, not seen: {_named(names, missing)}" if wanted == len(names) else seen)
    if repeated.size:
        parts.append(f"seen more than once: {_named(names, repeated)}")
    if unknown:
        parts.append(f"{unknown:,} records that the dataset does not have")
    return "; ".join(parts)


def _named(names: Sequence[str], which: npt.NDArray[np.int64]) -> str:
    listed = ", ".join(names[place] for place in which[:_NAMED_IDS])
    return listed + (f" and {which.size - _NAMED_IDS:,} more" if which.size > _NAMED_IDS else "")


def _ids(run: str) -> list[list[str]]:
    directory = storage.parent(RunPaths(run).audit_ids(0))
    count = len([name for name in storage.finished(directory) if name.endswith(".parquet")])
    if not count:
        raise DataError(f"{run} has no audit: there is nothing in {directory}")
    return [_read(RunPaths(run).audit_ids(shard))["id"].to_pylist() for shard in range(count)]


def _write(uri: str, table: pa.Table) -> None:
    file = io.BytesIO()
    pq.write_table(table, file)
    storage.write_bytes(uri, file.getvalue())


def _read(uri: str) -> pa.Table:
    try:
        # Not `read_table`: its threads may hold Python objects until after Python's end, which aborts the process.
        return pq.ParquetFile(pa.BufferReader(storage.read_bytes(uri))).read(use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{uri} is damaged: {error}") from error
