"""What a task sees where a slot would be: one barrier stage, so that all executors are looked at and can talk to each other."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from py4j.protocol import Py4JJavaError
from pydantic import BaseModel, ConfigDict
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from slotwise.cluster import placement, preflight
from slotwise.cluster.console import failed_tasks_unsaid
from slotwise.cluster.doctor import clock, places
from slotwise.session import phase
from slotwise.versions import installed_versions

if TYPE_CHECKING:
    import pandas as pd
    from pyspark import BarrierTaskContext

_PHASE = "look at executors"
_CONNECT_SECONDS = 5.0
# Of the executor's Java, which Python cannot ask.
_JAVA_VERSION = "java_method('java.lang.System', 'getProperty', 'java.version') AS java"
_COUNT_GPUS = "import tensorflow; print('GPUs', len(tensorflow.config.list_physical_devices('GPU')))"
_COUNT_SECONDS = 120


class Seen(BaseModel):
    """One task's report."""

    model_config = ConfigDict(frozen=True)

    slot: int
    executor: str = "unknown"
    host: str
    java: str
    versions: dict[str, str]
    processors: int
    """That the task may use."""
    memory_mb: int | None
    """That is free on its machine; None where nothing says so."""
    clock: clock.Skew | None
    unreachable: list[str]
    """Addresses of other tasks and of the driver, each with the reason."""
    places: dict[str, str]
    """What a storage answered, by place; empty where all worked."""
    gpus_given: list[str]
    """By Spark."""
    gpus_there: int
    """On the machine, used or not."""
    gpus_seen: int | None
    """By TensorFlow; None where it was not asked."""

    @property
    def where(self) -> str:
        return f"executor {self.executor} on {self.host}"


@dataclass(frozen=True)
class Probe:
    """What each task is told; for `mapInPandas`."""

    driver: tuple[str, int]
    """Of a ClockServer."""
    trials: Mapping[str, str]
    """A trial's directory by its place."""
    use_gpu: bool

    def __call__(self, rows: Iterable[pd.DataFrame]) -> Iterable[pd.DataFrame]:
        import pandas as pd
        from pyspark import BarrierTaskContext

        java = str(next(iter(rows))["java"].iloc[0])
        yield pd.DataFrame({"report": [self._look(BarrierTaskContext.get(), java).model_dump_json()]})

    def _look(self, context: BarrierTaskContext, java: str) -> Seen:
        slot, resources = context.partitionId(), context.resources()
        gpus = list(resources["gpu"].addresses) if "gpu" in resources else []
        unreachable = _unreachable(context)
        skew = None
        try:
            skew = clock.skew(*self.driver)
        except OSError as error:
            unreachable.append(f"the driver's {self.driver[0]}:{self.driver[1]} ({error})")
        return Seen(
            slot=slot,
            host=socket.gethostname(),
            java=java,
            versions=installed_versions(),
            processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            memory_mb=_free_memory(),
            clock=skew,
            unreachable=unreachable,
            places={place: _trouble(trial, f"slot-{slot}") for place, trial in self.trials.items()},
            gpus_given=gpus,
            gpus_there=len([name for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name)]),
            gpus_seen=_gpus_of_tensorflow(gpus) if gpus or self.use_gpu else None,
        )


def look(spark: SparkSession, tasks: int, probe: Probe) -> list[Seen]:
    """The reports of so many tasks at the same time.

    Raises:
        DataError: the executors cannot run slotwise.
    """
    frame = spark.range(0, tasks, 1, tasks).selectExpr(_JAVA_VERSION)
    try:
        with phase(spark, _PHASE), failed_tasks_unsaid(spark):
            rows = frame.mapInPandas(probe, "report string", barrier=True).collect()
    except (Py4JJavaError, PySparkException) as error:
        raise preflight.cannot_run(error) from error
    executors = placement.executors_of(spark, _PHASE)
    reports = [Seen.model_validate_json(row["report"]) for row in rows]
    return [report.model_copy(update={"executor": executors.get(report.slot, "unknown")}) for report in reports]


def _unreachable(context: BarrierTaskContext) -> list[str]:
    """What of the other tasks' fresh ports, on the addresses that Spark uses for their executors, cannot be connected to."""
    own = context.getTaskInfos()[context.partitionId()].address.rpartition(":")[0].strip("[]")
    family = socket.AF_INET6 if ":" in own else socket.AF_INET
    server, faults = None, []
    try:
        server = socket.create_server((own, 0), family=family)
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
    except OSError as error:
        faults.append(f"{own}, its own address, to listen on ({error})")
    addresses = [json.loads(text) for text in context.allGather(json.dumps([own, server.getsockname()[1]] if server else None))]
    for address in addresses:
        try:
            if address is not None:
                socket.create_connection(address, timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            faults.append(f"{address[0]}:{address[1]} ({error})")
    context.barrier()
    if server is not None:
        server.close()
    return faults


def _accept(server: socket.socket) -> None:
    with suppress(OSError):  # it is closed
        while True:
            server.accept()[0].close()


def _trouble(trial: str, name: str) -> str:
    try:
        places.use(trial, name)
    except places.FAILURES as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _free_memory() -> int | None:
    """Megabytes that are free on this machine, or in this container where that has less."""
    free = None
    with suppress(OSError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        free = int(found[1]) // 1024 if found else None
    with suppress(OSError, ValueError):  # no version 2, or "max"
        group = Path("/sys/fs/cgroup")
        left = (int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())) // 2**20
        free = left if free is None else min(free, left)
    return free


def _gpus_of_tensorflow(given: list[str]) -> int:
    """In a process of its own, as training does it: TensorFlow is not safe in Spark's forked workers."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(given), "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run([sys.executable, "-c", _COUNT_GPUS], env=environment, capture_output=True, text=True, check=False, timeout=_COUNT_SECONDS)
    except subprocess.TimeoutExpired:
        return 0
    found = re.search(r"^GPUs (\d+)$", done.stdout, re.MULTILINE)
    return int(found[1]) if found else 0
