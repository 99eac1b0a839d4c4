"""What runs in a Spark task: one slot's training in a fresh interpreter, its output streamed to the driver.

TensorFlow is not safe in the forked, reused Python worker of Spark, so the worker only starts and watches.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from slotwise import numerics, storage
from slotwise.cluster.cores import own_cores
from slotwise.cluster.placement import Place, Places
from slotwise.contracts.job import SlotExit, SlotFailure, TrainingJob, TrainingResult
from slotwise.contracts.paths import RunPaths
from slotwise.errors import TrainingFailed

_TAIL_LINES = 100
# A slot that only lost its peer fails later than the peer, so that Spark reports the cause and not its echo.
_ECHO_SECONDS = 10.0
_HEARTBEAT_CHECK_SECONDS = 0.5
# TensorFlow's greetings and its farewell, which say nothing about the training; a peer's loss is told in a line of our own.
_NOISE = (
    "E0000", "I0000", "W0000", "WARNING: All log messages before absl", "To enable the following instructions",
    "Additional GRPC error information", ":UNKNOWN:Error received from peer",
)  # fmt: skip


def run_slot(job_json: str, log_address: tuple[str, int], places: Places) -> dict[str, Any]:
    """Trains one slot; called by MirroredStrategyRunner or TorchDistributor, which have set `CUDA_VISIBLE_DEVICES` and the addresses.

    Args:
        places: takes this slot's place.

    Returns:
        the result, or how it was stopped, as plain JSON values; what the chief slot returns comes back to the driver.

    Raises:
        TrainingFailed: the training process ended with an error, which is also kept in `RUN/failures`.
    """
    from pyspark import BarrierTaskContext
    from pyspark.ml.torch.log_communication import LogStreamingClient  # type: ignore[attr-defined]

    context = BarrierTaskContext.get()
    slot = context.partitionId()
    job = TrainingJob.model_validate_json(job_json)
    places.add({slot: _place()})
    log = LogStreamingClient(*log_address)
    log.send(f"{job.before_lines}slot {slot} | starts on {socket.gethostname()}, process {os.getpid()}, attempt {context.attemptNumber()}")
    with tempfile.TemporaryDirectory(prefix="slotwise-slot-") as scratch:
        outcome = Path(scratch) / "outcome.json"
        # As Spark names them: to ask the tasks for their own names (`allGather`) takes a second, in which Spark sleeps between two looks.
        hosts = [task.address.rpartition(":")[0] for task in context.getTaskInfos()]
        exit_code, tail, is_hung = _train(job, Path(scratch), outcome, slot, hosts, log)
        log.close()
        if exit_code == SlotExit.DONE:
            result = TrainingResult.model_validate_json(outcome.read_text())
            return {"result": result.model_dump(mode="json")}
        if exit_code == SlotExit.STOPPED:  # not a failure: Spark does not report those of an application that is ending
            return {"stopped": outcome.read_text()}
        explained = outcome.exists()
        message = outcome.read_text() if explained else _unexplained(exit_code, is_hung, job)
    failure = SlotFailure(
        slot=slot,
        host=socket.gethostname(),
        exit_code=exit_code,
        explained=explained,
        message=message,
        is_lost=exit_code < 0 or exit_code == SlotExit.PEER_LOST,
        tail=tail,
        time=time.time(),
    )
    storage.write_text(RunPaths(job.run).failure(slot), failure.model_dump_json(indent=2))
    if exit_code in (SlotExit.PEER_LOST, SlotExit.RENDEZVOUS_TIMEOUT):
        time.sleep(_ECHO_SECONDS)
    raise TrainingFailed(f"slot {slot}: {message}")


def _unexplained(exit_code: int, is_hung: bool, job: TrainingJob) -> str:
    if is_hung:
        return f"the training process gave no sign of life for {job.settings.slot_timeout} s (--slot-timeout) and was ended"
    if exit_code == SlotExit.RENDEZVOUS_TIMEOUT:
        return f"it did not reach the other slots within {job.settings.rendezvous_timeout} s (--rendezvous-timeout)"
    if exit_code == SlotExit.PEER_LOST:
        return "it lost another slot"
    if exit_code < 0:
        return f"the training process was ended by signal {-exit_code} ({signal.Signals(-exit_code).name})"
    return f"the training process ended with exit code {exit_code}"


def _place() -> Place:
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return Place(socket.gethostname(), [gpu for gpu in gpus.split(",") if gpu])


def _train(job: TrainingJob, scratch: Path, outcome: Path, slot: int, hosts: list[str], log: Any) -> tuple[int, list[str], bool]:
    """Runs the training process to its end; returns its exit code, its last lines, and whether it had to be ended as hung."""
    job_file, heartbeat = scratch / "job.json", scratch / "heartbeat"
    job_file.write_text(job.model_dump_json())
    command = [sys.executable, "-m", "slotwise.engines.worker", str(job_file), str(outcome), str(heartbeat)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=_environment(job.settings.cores_per_slot)
    )
    _keep_to_cores(process.pid, hosts, slot, job.settings.cores_per_slot)
    watch = _HangWatch(process, heartbeat, job.settings.slot_timeout)
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            text = line.rstrip()
            if text and not text.startswith(_NOISE):
                tail.append(text)
                log.send(f"{job.before_lines}slot {slot} | {text}")
    finally:
        if process.poll() is None and sys.exc_info()[0] is not None:
            process.kill()
        exit_code = process.wait()
    return exit_code, list(tail), watch.has_struck


def _keep_to_cores(pid: int, hosts: list[str], slot: int, cores: int) -> None:
    """Holds a process that has just started, and so all its threads to come, to the slot's cores (Linux)."""
    if hasattr(os, "sched_setaffinity"):
        chosen = own_cores(hosts, slot, cores, sorted(os.sched_getaffinity(0)))
        if chosen is not None:
            os.sched_setaffinity(pid, chosen)


class _HangWatch:
    """Ends a process that has begun to touch its heartbeat file and then stops for too long: stopped, or stuck, but not dead."""

    def __init__(self, process: subprocess.Popen[str], heartbeat: Path, limit_seconds: float) -> None:
        self._process, self._heartbeat, self._limit = process, heartbeat, limit_seconds
        self.has_struck = False
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        last_beat, seen = None, time.monotonic()
        while self._process.poll() is None:
            time.sleep(_HEARTBEAT_CHECK_SECONDS)
            # The file's own time is only compared with itself: the slot's clock may jump.
            beat = self._heartbeat.stat().st_mtime_ns if self._heartbeat.exists() else None
            if beat is None or beat != last_beat:
                last_beat, seen = beat, time.monotonic()
            elif time.monotonic() - seen > self._limit:
                self.has_struck = True
                self._process.kill()


def _environment(cores: int) -> dict[str, str]:
    return {
        **os.environ,
        **numerics.environment(cores),
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
