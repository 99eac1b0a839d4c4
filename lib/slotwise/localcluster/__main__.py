"""`python -m slotwise.localcluster start|stop|status`: a real HDFS and Spark cluster on this machine, with YARN if asked for."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from slotwise.config import run_job
from slotwise.errors import UsageError
from slotwise.localcluster import spark
from slotwise.localcluster.cluster import LocalCluster, Ports, Workers
from slotwise.localcluster.processes import end_recorded
from slotwise.localcluster.state import DIRECTORY, FILE_NAME, ClusterState, read_state, running_cluster


def main(arguments: Sequence[str]) -> None:
    """Carries out one command.

    Raises:
        UsageError: a value that is not accepted.
        DaemonFailed: a server did not come up.
    """
    options = _parser().parse_args(arguments)
    directory = Path(options.directory).resolve()
    if options.command == "start":
        _start(directory, options)
    elif options.command == "stop":
        _stop(directory)
    else:
        state = running_cluster(directory / FILE_NAME)
        print(_addresses(state) if state else f"No cluster runs from {directory}.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m slotwise.localcluster", description=__doc__)
    parser.add_argument("command", choices=("start", "stop", "status"))
    parser.add_argument("--directory", default=str(DIRECTORY), help="its data, logs and addresses (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="Spark workers (default: %(default)s)")
    parser.add_argument("--cores", type=int, default=1, help="cores of each worker (default: %(default)s)")
    parser.add_argument("--memory", default="2g", help="memory of each worker for executors' heaps (default: %(default)s)")
    parser.add_argument("--yarn", action="store_true", help="a YARN ResourceManager and NodeManager as well")
    parser.add_argument("--free-ports", action="store_true", help="take any free ports; else the usual ones, where they are free")
    return parser


def _start(directory: Path, options: argparse.Namespace) -> None:
    if min(options.workers, options.cores) < 1:
        raise UsageError("A cluster needs workers with cores", received=f"{options.workers} and {options.cores}", accepted="whole numbers from 1")
    if not re.fullmatch(r"[1-9]\d*[mg]", options.memory):
        raise UsageError("The value of --memory is wrong", received=options.memory, accepted="a size such as 2g or 1500m")
    state = running_cluster(directory / FILE_NAME)
    if state is not None:
        if options.yarn and state.yarn_ui is None:
            raise UsageError("The cluster runs already, without YARN", received="--yarn", accepted="make cluster-stop first, which keeps what is on its HDFS")
        print("The cluster runs already; make cluster-stop ends it.\n")
    else:
        _stop(directory)
        ports = Ports.free() if options.free_ports else Ports().where_free()
        workers = Workers(options.workers, options.cores, options.memory)
        cluster = LocalCluster(directory, ports, workers, tied=False, yarn=options.yarn).start()
        state = cluster.state
    print(_addresses(state))
    print(_submit_lines(state))


def _stop(directory: Path) -> None:
    """Ends what `cluster.json` lists, the last started first, and only processes that are still this cluster's."""
    state = read_state(directory / FILE_NAME)
    if state is None:
        return
    for name, pid in reversed(state.pids.items()):
        if end_recorded(pid, spark.mark(directory)):
            print(f"stopped {name}")
    (directory / FILE_NAME).unlink()


def _addresses(state: ClusterState) -> str:
    rows = {
        "HDFS": state.hdfs,
        "NameNode": state.namenode_ui,
        "Spark master": f"{state.master}  {state.master_ui}",
        "History Server": state.history,
    }
    if state.yarn_ui:
        rows |= {"YARN": state.yarn_ui, "HADOOP_CONF_DIR": state.hadoop_conf}
    return "\n".join(f"{name:<15} {address}" for name, address in rows.items()) + "\n"


def _submit_lines(state: ClusterState) -> str:
    submit = Path(sys.executable).parent / "spark-submit"
    program = os.path.relpath(submit) if submit.exists() else "spark-submit"
    lines = _jobs(state, f"{program} --master {state.master}", f"{state.hdfs}/runs/demo-2slots")
    if state.yarn_ui:
        on_yarn = _jobs(state, f"{program} --master yarn --num-executors 2", f"{state.hdfs}/runs/demo-2slots-yarn")
        lines += ["", f"export HADOOP_CONF_DIR={shlex.quote(state.hadoop_conf)}", *on_yarn]
    return "\n".join(lines)


def _jobs(state: ClusterState, submit: str, run: str) -> list[str]:
    dataset = f"{state.hdfs}/datasets/demo"
    jobs = [
        f"jobs/prepare.py --dataset {dataset}",
        f"jobs/train_distributed.py --dataset {dataset} --slots 2 --run {run}",
        f"jobs/compare.py --runs {run} --output {state.hdfs}/comparison",
    ]
    return [f"{submit} {job}" for job in jobs]


if __name__ == "__main__":
    run_job(main)
