"""Ctrl-C and SIGTERM on the driver: the slots leave a checkpoint and end before Spark does.

Under spark-submit the signal reaches the Java process, whose Spark would end the slots at once; a hook that runs before
Spark's own asks them to stop, and holds Java until they have.
"""

from __future__ import annotations

import atexit
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, ClassVar

from py4j.protocol import Py4JError
from pyspark.java_gateway import ensure_callback_server_started
from pyspark.sql import SparkSession

from slotwise import storage
from slotwise.contracts.paths import RunPaths
from slotwise.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Spark's own hook has 40; the higher number runs first.
_PRIORITY = 100
_LIMIT_SECONDS = 60
# What py4j takes to tell Java that the hook is done, before this process is gone.
_ANSWER_SECONDS = 0.5


class Interruption:
    """Around one or more trainings: turns signals into a request that their slots stop at the end of a step; a second signal ends at once."""

    def __init__(self, spark: SparkSession) -> None:
        self.is_asked = False
        self._spark = spark
        self._stops: set[str] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._java_waits = False
        self._handlers: dict[signal.Signals, Any] = {}
        self._hook: Any = None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # Python allows no other to handle signals
            self._handlers = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        context = self._spark.sparkContext
        assert context._gateway is not None
        ensure_callback_server_started(context._gateway)
        jvm: Any = context._jvm
        # A Java thread around our function: an object that Java knows again when it is to be removed.
        self._hook = jvm.java.lang.Thread(_Runnable(self._on_shutdown))
        jvm.org.apache.hadoop.util.ShutdownHookManager.get().addShutdownHook(self._hook, _PRIORITY, _LIMIT_SECONDS, jvm.java.util.concurrent.TimeUnit.SECONDS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if isinstance(error, Interrupted):
            atexit.register(self._let_java_end)  # Java passes on what this process prints, so it waits for all of it
        else:
            self._over.set()
        with suppress(Py4JError):  # a Java that is ending keeps its hooks
            jvm: Any = self._spark.sparkContext._jvm
            jvm.org.apache.hadoop.util.ShutdownHookManager.get().removeShutdownHook(self._hook)

    @contextmanager
    def over(self, run: str) -> Iterator[None]:
        """Inside, the slots that train this run are among those that are asked; at once if that has happened already. Any thread may call it."""
        stop = RunPaths(run).stop
        storage.delete(stop)
        with self._lock:
            self._stops.add(stop)
            is_late = self.is_asked
        try:
            if is_late:
                _write(stop)
            yield
        finally:
            with self._lock:
                self._stops.discard(stop)
            storage.delete(stop)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            raise KeyboardInterrupt
        # Not in the handler itself: it may have struck in the middle of another file operation.
        threading.Thread(target=self._ask, daemon=True).start()

    def _on_shutdown(self) -> None:
        if not self._over.is_set():
            self._java_waits = True
            self._ask()
            self._over.wait(_LIMIT_SECONDS)

    def _let_java_end(self) -> None:
        self._over.set()
        if self._java_waits:
            time.sleep(_ANSWER_SECONDS)

    def _ask(self) -> None:
        with self._lock:
            stops = [] if self.is_asked else sorted(self._stops)
            is_first, self.is_asked = not self.is_asked, True
        if is_first:
            print("stopping: the slots leave a checkpoint and end (once more to end at once)", flush=True)
        for stop in stops:
            _write(stop)


def _write(stop: str) -> None:
    storage.write_text(stop, "asked by a signal to the driver\n")


class _Runnable:
    """java.lang.Runnable for py4j."""

    def __init__(self, function: Any) -> None:
        self.run = function

    class Java:
        implements: ClassVar = ["java.lang.Runnable"]
