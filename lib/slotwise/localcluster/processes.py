"""Servers as child processes: started with a log file, waited for, and ended."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slotwise.errors import SlotwiseError

HOST = "127.0.0.1"
_GRACE_SECONDS = 15
_TAIL_LINES = 25

# A system lends its own ports, from 32,768 on, to outgoing connections: one of those may be gone before a server takes it. Those from 30,000 on
# are Kubernetes's. Each process begins elsewhere.
_FIRST = random.SystemRandom().randrange(10_000)
_PORTS = itertools.cycle(20_000 + (_FIRST + number) % 10_000 for number in range(10_000))


class DaemonFailed(SlotwiseError):
    """A server of the local cluster did not come up or died; the message ends with its log."""


@dataclass
class Daemon:
    """One server process.

    Args:
        name: what messages call it.
        command: program and arguments.
        log: file that its output is appended to.
        environment: variables set on top of this process's own.
        tied: the process dies with this one, even if this one is killed (Linux only).
    """

    name: str
    command: list[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    tied: bool = True
    pid: int | None = None
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the process in a session of its own, out of reach of a Ctrl-C meant for this one."""
        if is_running(self.pid):
            raise DaemonFailed(f"{self.name} runs already, as process {self.pid}")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                _tied(self.command) if self.tied and sys.platform == "linux" else self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        self.pid = self._process.pid

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Asks the process to end; what is left of it and of what it started after a while is ended."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the process and what it started at once, as a machine that is lost would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            if self.running():
                self._process.send_signal(how)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_SECONDS)
            with suppress(ProcessLookupError):  # nothing is left of it, as it should be
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = self.pid = None

    def failure(self, what: str) -> DaemonFailed:
        """An error that says `what` and shows the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return DaemonFailed("\n".join([f"{self.name} {what}. The end of {self.log}:", *lines[-_TAIL_LINES:]]))


def _tied(command: list[str]) -> list[str]:
    # Not a preexec_fn: where another library runs threads (hdfs-native does), Python code after a fork can hang.
    return [sys.executable, "-I", str(Path(__file__).with_name("tied.py")), str(os.getpid()), *command]


def wait_until(ready: Callable[[], bool], what: str, seconds: float, daemons: Iterable[Daemon]) -> None:
    """Waits until `ready()`; connections that are refused meanwhile count as not ready.

    Raises:
        DaemonFailed: one of `daemons`, those that have to run for it, has died, or the time is up.
    """
    watched = list(daemons)
    deadline = time.monotonic() + seconds
    while True:
        for daemon in watched:
            if not daemon.running():
                raise daemon.failure("has ended")
        try:
            if ready():
                return
        except (OSError, ValueError):  # refused, reset, timed out, HTTP 5xx; half a JSON page
            pass
        if time.monotonic() > deadline:
            raise watched[-1].failure(f"runs, but after {seconds:.0f} seconds still not: {what}")
        time.sleep(0.2)


def fetch_json(url: str) -> Any:
    """The JSON document at an address of this machine.

    Raises:
        OSError: nothing answers, or it answers with an HTTP error.
        ValueError: the answer is not JSON.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url, timeout=10) as answer:
        return json.loads(answer.read())


def is_running(pid: int | None) -> bool:
    """Whether there is a process with this id."""
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end_recorded(pid: int, mark: str) -> bool:
    """Ends a process that an earlier command started; False if it is gone, or its id now belongs to another program.

    Args:
        mark: text that stands in the command line of the process meant.
    """
    if mark not in _command_line(pid):
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while mark in _command_line(pid):
        if time.monotonic() > deadline:
            os.killpg(pid, signal.SIGKILL)
            break
        time.sleep(0.1)
    return True


def _command_line(pid: int) -> str:
    # A process that has ended but was not waited for shows as "<defunct>" here, not with its arguments.
    listed = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip()


def free_port() -> int:
    """A port of this machine's loopback address that nobody listens on now, another one in each call."""
    return next(port for port in _PORTS if is_free(port))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
