"""What `make cluster` wrote down about the cluster it started, for jobs that talk to it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from slotwise.localcluster.processes import is_running

DIRECTORY = Path("workspace/cluster")
FILE_NAME = "cluster.json"
STATE_FILE = DIRECTORY / FILE_NAME
DIRECTORY_VARIABLE = "SLOTWISE_CLUSTER"
"""Environment variable that names another cluster's directory, so that tests have their own."""


class ClusterState(BaseModel):
    """Addresses of a running local cluster."""

    model_config = ConfigDict(frozen=True)

    master: str
    """spark://host:port"""
    hdfs: str
    """hdfs://host:port"""
    event_logs: str
    history: str
    """http://host:port of the History Server."""
    master_ui: str
    namenode_ui: str
    yarn_ui: str | None = None
    """http://host:port of the ResourceManager, where there is one."""
    hadoop_conf: str = ""
    """Directory of Hadoop's configuration for clients: HADOOP_CONF_DIR."""
    pids: dict[str, int]
    """Process id of each part: namenode, datanode, master, worker-1, …, history, and resourcemanager, nodemanager where they run."""


def running_cluster(path: Path | None = None) -> ClusterState | None:
    """The local cluster, if one was started from this directory and its NameNode still runs."""
    state = read_state(path or Path(os.environ.get(DIRECTORY_VARIABLE, DIRECTORY)) / FILE_NAME)
    return state if state is not None and is_running(state.pids.get("namenode")) else None


def read_state(path: Path) -> ClusterState | None:
    """What was written at `path`, whether it still runs or not; None where there is no such file."""
    return ClusterState.model_validate(json.loads(path.read_text())) if path.exists() else None
