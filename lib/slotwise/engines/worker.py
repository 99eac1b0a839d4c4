"""A slot's training process: reads its job from a file, trains, leaves its outcome in another file.

    python -m slotwise.engines.worker JOB_FILE OUTCOME_FILE [HEARTBEAT_FILE]
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from slotwise.contracts.job import SlotExit, TrainingJob
from slotwise.engines import lean
from slotwise.errors import Interrupted, SlotwiseError
from slotwise.laps import Laps

_PARENT_CHECK_SECONDS = 1.0
_HEARTBEAT_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(job_file: str, outcome_file: str, heartbeat_file: str | None = None) -> int:
    """Trains; returns the exit code. The outcome is a `TrainingResult` as JSON, or the text of an explained error.

    While it trains, the heartbeat file's time moves on every second, so that a process that is stopped can be told from one
    that waits for others.
    """
    laps = Laps()
    _end_with_parent()
    job = TrainingJob.model_validate_json(Path(job_file).read_text())
    # The engines have the names of Keras's backends; Keras reads this once, when it is imported.
    os.environ["KERAS_BACKEND"] = job.settings.engine
    _configure(job.settings.precision)
    engines = importlib.import_module(f"slotwise.engines.{job.settings.engine}.connection")
    engines.configure(job.settings.cores_per_slot)
    from slotwise.engines.loop import train

    laps.lap("imports")
    try:
        engine = engines.connect(job.settings.rendezvous_timeout)
        laps.lap("rendezvous")
        if heartbeat_file:
            _beat(Path(heartbeat_file))
        result = train(job, engine, laps)
    except Interrupted as error:
        Path(outcome_file).write_text(str(error))
        engine.slots.part()
        return SlotExit.STOPPED
    except SlotwiseError as error:
        Path(outcome_file).write_text(str(error))
        return SlotExit.FAILED
    except Exception as error:
        if engines.is_lost_peer(error):
            # Not this slot's fault, so no traceback: the slot that went away tells its own story.
            print(f"lost another slot ({str(error).splitlines()[0]})", flush=True)
            return SlotExit.PEER_LOST
        traceback.print_exc()
        return SlotExit.FAILED
    Path(outcome_file).write_text(result.model_dump_json())
    engine.slots.part()
    return SlotExit.DONE


def _configure(precision: str) -> None:
    """Precision has to be set before Keras does anything."""
    lean.load()
    import keras

    if precision == "float64":
        keras.config.set_floatx("float64")
    keras.config.set_dtype_policy(precision)


def _beat(file: Path) -> None:
    """Touches a file every second from a thread, from now until the process ends."""

    def beat() -> None:
        while True:
            file.touch()
            time.sleep(_HEARTBEAT_SECONDS)

    threading.Thread(target=beat, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when the Spark task that started it is gone, however it went; on Linux even while it is stopped."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_CHECK_SECONDS)
        os._exit(SlotExit.PEER_LOST)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    code = main(*sys.argv[1:4])
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: the engines' servers may wait for peers that are gone.
    os._exit(code)
