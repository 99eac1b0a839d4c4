"""What `make cluster` wrote down about the cluster it started, for jobs that talk to it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

STATE_FILE = Path("workspace/cluster/cluster.json")


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
    pids: dict[str, int]


def running_cluster(path: Path = STATE_FILE) -> ClusterState | None:
    """The local cluster, if one was started from this directory and its NameNode still runs."""
    if not path.exists():
        return None
    state = ClusterState.model_validate(json.loads(path.read_text()))
    return state if all(_is_running(pid) for pid in state.pids.values()) else None


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
