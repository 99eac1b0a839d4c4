"""Server processes: none is left behind, and a failure shows the server's own words."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slotwise.localcluster import processes
from slotwise.localcluster.cluster import Ports
from slotwise.localcluster.processes import Daemon, DaemonFailed

PATIENCE = 20


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while "sleep" in processes._command_line(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.05)


def sleeper(directory: Path, *, tied: bool = True) -> Daemon:
    daemon = Daemon("sleeper", ["sleep", "300"], directory / "logs" / "sleeper.log", tied=tied)
    daemon.start()
    return daemon


def test_start_and_stop(tmp_path: Path) -> None:
    daemon = sleeper(tmp_path)
    pid = daemon.pid
    assert pid is not None
    assert daemon.running()
    with pytest.raises(DaemonFailed, match="sleeper runs already"):
        daemon.start()
    daemon.stop()
    assert not daemon.running()
    wait_gone(pid)
    daemon.stop()
    daemon.start()
    assert daemon.running()
    daemon.kill()
    assert not daemon.running()


def test_a_server_deaf_to_sigterm_is_ended_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_GRACE_SECONDS", 0.5)
    log = tmp_path / "deaf.log"
    daemon = Daemon("deaf", ["bash", "-c", "trap '' TERM; echo ready; while true; do sleep 300 & wait; done"], log)
    daemon.start()
    processes.wait_until(lambda: "ready" in log.read_text(), "its trap is set", PATIENCE, [daemon])
    daemon.stop()
    assert not daemon.running()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_tied_servers_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from slotwise.localcluster.processes import Daemon
for name, tied in (("tied", True), ("free", False)):
    daemon = Daemon(name, ["sleep", "300"], Path({str(tmp_path)!r}) / "log", tied=tied)
    daemon.start()
    print(daemon.pid, flush=True)
time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        tied, free = int(parent.stdout.readline()), int(parent.stdout.readline())
        deadline = time.monotonic() + PATIENCE
        while not processes._command_line(tied).startswith("sleep"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        parent.send_signal(signal.SIGKILL)
    wait_gone(tied)
    assert processes.end_recorded(free, "sleep 300")
    wait_gone(free)


def test_only_a_process_with_the_mark_is_ended(tmp_path: Path) -> None:
    daemon = sleeper(tmp_path, tied=False)
    assert daemon.pid is not None
    assert not processes.end_recorded(daemon.pid, "-Dslotwise.cluster=/elsewhere")
    assert daemon.running()
    daemon.stop()


def test_a_server_that_dies_shows_its_log(tmp_path: Path) -> None:
    daemon = Daemon("namenode", ["bash", "-c", "echo the port is taken >&2; exit 1"], tmp_path / "namenode.log")
    daemon.start()
    with pytest.raises(DaemonFailed, match=r"namenode has ended\. The end of .*namenode\.log:\nthe port is taken"):
        processes.wait_until(lambda: False, "anything", PATIENCE, [daemon])


def test_a_server_that_never_answers_is_not_waited_for_longer_than_said(tmp_path: Path) -> None:
    daemon = sleeper(tmp_path)
    port = processes.free_port()
    with pytest.raises(DaemonFailed, match=r"sleeper runs, but after 1 seconds still not: its page"):
        processes.wait_until(lambda: bool(processes.fetch_json(f"http://127.0.0.1:{port}/")), "its page", 0.6, [daemon])
    daemon.stop()


def test_free_ports_differ_and_no_outgoing_connection_takes_them_first() -> None:
    ports = [processes.free_port() for _ in range(200)]
    assert len(set(ports)) == 200
    assert all(1024 <= port < 30_000 for port in ports)  # Linux lends those from 32,768 on, Kubernetes those from 30,000 on


def test_taken_ports_are_replaced_and_only_those() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = Ports(hdfs=taken.getsockname()[1], master=processes.free_port(), master_ui=processes.free_port())
        ports = wanted.where_free()
    assert ports.hdfs != wanted.hdfs
    assert (ports.master, ports.master_ui) == (wanted.master, wanted.master_ui)
