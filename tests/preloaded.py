"""Processes that begin with what takes longest already imported: forked from one that has done nothing else."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.popen_forkserver import Popen
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

_MODULES = ("lean_tensorflow", "slotwise.engines.loop", *(f"slotwise.pipelines.{name}" for name in ("prepare", "train", "compare", "study", "predict", "evaluate", "tune", "convert")))


def context() -> ForkServerContext:
    """New processes, with TensorFlow, pyspark and slotwise imported and nothing of them used."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(list(_MODULES))
    return found


_TORCH = forkserver.ForkServer()
_TORCH.set_forkserver_preload(["lean_tensorflow", "slotwise.engines.torch.connection", "slotwise.engines.torch.step", "slotwise.engines.loop"])


class TorchProcess(ForkServerProcess):
    """A new process forked from another server, in which Keras was imported for PyTorch: it takes one backend for good."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Popen:  # noqa: N802, multiprocessing's own name
        # The server looks for modules where its environment says.
        found = {"KERAS_BACKEND": "torch", "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])}
        with mock.patch.dict(os.environ, found), mock.patch.object(forkserver, "connect_to_new_process", _TORCH.connect_to_new_process):
            return Popen(process_obj)


def run_program(program: str, arguments: Sequence[str], *, cwd: Path, environment: dict[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Runs a Python program to its end, as `python PROGRAM ARGUMENTS` does in a directory and with these environment variables alone."""
    with tempfile.TemporaryDirectory() as scratch:
        said = [Path(scratch) / name for name in ("stdout", "stderr")]
        process = context().Process(target=_run, args=(program, list(arguments), str(cwd), environment, [str(path) for path in said]))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([program, *arguments], timeout)
        return subprocess.CompletedProcess([program, *arguments], process.exitcode, *(path.read_text() for path in said))


def _run(program: str, arguments: list[str], directory: str, environment: dict[str, str], said: list[str]) -> None:
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    for standard, path in zip((1, 2), said, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), standard)
    sys.argv = [program, *arguments]
    sys.path[0] = os.path.dirname(program)
    code: object = 0
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
