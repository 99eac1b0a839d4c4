"""The local cluster as one object: start it, lose and bring back parts of it, stop it."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType

from slotwise import storage
from slotwise.localcluster import hadoop, spark, yarn
from slotwise.localcluster.processes import HOST, Daemon, free_port, is_free, wait_until
from slotwise.localcluster.state import FILE_NAME, ClusterState

_START_SECONDS = 120


@dataclass(frozen=True)
class Ports:
    """Where each server listens; what people expect, unless told otherwise."""

    hdfs: int = 9000
    namenode_ui: int = 9870
    master: int = 7077
    master_ui: int = 8080
    history: int = 18080
    yarn: int = 8032
    yarn_ui: int = 8088
    yarn_scheduler: int = 8030
    yarn_tracker: int = 8031
    yarn_admin: int = 8033

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody listens on now."""
        return cls(*(free_port() for _ in fields(cls)))

    def where_free(self) -> Ports:
        """The same ports, with a free one for each that is taken."""
        return Ports(*(port if is_free(port) else free_port() for port in astuple(self)))


@dataclass(frozen=True)
class Workers:
    """What the standalone workers offer; `memory` is for executors' heaps, training itself takes more beside it."""

    count: int = 2
    cores: int = 1
    memory: str = "2g"


class LocalCluster:
    """NameNode, DataNode, master, workers and History Server, all on loopback, with their data in one directory; YARN beside them if asked for.

    A context manager: on leaving it everything is stopped. Parts are called namenode, datanode, master, worker-1,
    worker-2, …, history, resourcemanager, nodemanager. HDFS keeps its files in the directory from one start to the next.

    Args:
        directory: data, logs, configuration and `cluster.json`.
        ports: where to listen; free ones unless told.
        workers: how many, and what each offers.
        tied: the servers die with this process, however it ends (Linux); False lets them outlive it.
        yarn: `start` starts YARN as well.
    """

    def __init__(self, directory: Path, ports: Ports | None = None, workers: Workers | None = None, *, tied: bool = True, yarn: bool = False) -> None:
        self.directory = directory.resolve()
        self.ports = ports or Ports.free()
        self.workers = workers or Workers()
        self._tied, self._with_yarn = tied, yarn
        self.parts: dict[str, Daemon] = self._make_parts(tied)

    def _make_parts(self, tied: bool) -> dict[str, Daemon]:
        directory, ports, workers = self.directory, self.ports, self.workers
        hadoop.write_configuration(directory, ports.hdfs, ports.namenode_ui)
        daemons = [
            hadoop.namenode(directory, tied),
            spark.master(directory, ports.master, ports.master_ui, tied),
            hadoop.datanode(directory, tied),
        ]
        for number in range(1, workers.count + 1):
            daemons.append(spark.worker(f"worker-{number}", directory, self.master, workers.cores, workers.memory, tied))
        daemons.append(spark.history_server(directory, self.event_logs, ports.history, tied))
        return {daemon.name: daemon for daemon in daemons}

    @property
    def master(self) -> str:
        return f"spark://{HOST}:{self.ports.master}"

    @property
    def hdfs(self) -> str:
        return f"hdfs://{HOST}:{self.ports.hdfs}"

    @property
    def event_logs(self) -> str:
        return f"{self.hdfs}/spark-events"

    @property
    def state(self) -> ClusterState:
        """Addresses and process ids, as they are now."""
        return ClusterState(
            master=self.master,
            hdfs=self.hdfs,
            event_logs=self.event_logs,
            history=f"http://{HOST}:{self.ports.history}",
            master_ui=f"http://{HOST}:{self.ports.master_ui}",
            namenode_ui=f"http://{HOST}:{self.ports.namenode_ui}",
            yarn_ui=f"http://{HOST}:{self.ports.yarn_ui}" if "resourcemanager" in self.parts else None,
            hadoop_conf=str(hadoop.configuration(self.directory)),
            pids={name: daemon.pid for name, daemon in self.parts.items() if daemon.pid is not None},
        )

    def start(self) -> LocalCluster:
        """Starts every part and returns when all of them answer.

        Raises:
            DaemonFailed: a part did not come up; those that did are stopped again.
            DataError: there is no Java, or the HDFS servers' jar cannot be fetched.
        """
        try:
            hadoop.format_namenode(self.directory)
            self._start_parts([name for name in self.parts if name != "history"])
            storage.make_directory(self.event_logs)  # the History Server ends at once where it is missing
            self._start_parts(["history"])
            if self._with_yarn:
                self.start_yarn()
        except BaseException:
            self.stop()
            raise
        return self

    def start_yarn(self) -> None:
        """Starts a ResourceManager and a NodeManager beside what runs already, and returns when the node is active.

        The node has the workers' cores, and one for the application master.

        Raises:
            DaemonFailed: a part did not come up.
            DataError: one of the servers' jars cannot be fetched.
        """
        ports, workers = self.ports, self.workers
        listens = {
            "address": ports.yarn,
            "webapp.address": ports.yarn_ui,
            "scheduler.address": ports.yarn_scheduler,
            "resource-tracker.address": ports.yarn_tracker,
            "admin.address": ports.yarn_admin,
        }
        yarn.write_configuration(self.directory, listens, workers.count * workers.cores + 1)
        for make in (yarn.resourcemanager, yarn.nodemanager):
            daemon = make(self.directory, self._tied)
            self.parts[daemon.name] = daemon
        self._start_parts(list(yarn.PARTS))

    def stop_yarn(self) -> None:
        """Stops the node, with its containers, and the ResourceManager; the rest goes on."""
        for name in reversed(yarn.PARTS):
            self.parts.pop(name).stop()
        self._write_state()

    def start_part(self, name: str) -> None:
        """Starts a part that was stopped or killed and returns when it answers."""
        self._start_parts([name])

    def stop_part(self, name: str) -> None:
        """Stops one part in good order."""
        self.parts[name].stop()
        self._write_state()

    def kill_part(self, name: str) -> None:
        """Ends one part at once, as a machine that is lost would; a worker's executors end with it."""
        self.parts[name].kill()
        self._write_state()

    def stop(self) -> None:
        """Stops every part, the last started first; what does not run is passed over."""
        for daemon in reversed(self.parts.values()):
            daemon.stop()
        (self.directory / FILE_NAME).unlink(missing_ok=True)

    def _start_parts(self, names: list[str]) -> None:
        for name in names:
            self.parts[name].start()
        self._write_state()
        for name in names:
            self._wait_for(name)

    def _wait_for(self, name: str) -> None:
        ports, part = self.ports, self.parts[name]
        if name in ("namenode", "datanode"):
            both = [self.parts["datanode"], self.parts["namenode"]]
            running = [daemon for daemon in both if daemon.running()]
            if len(running) == 2:
                wait_until(lambda: hadoop.is_ready(ports.namenode_ui), "HDFS open with a live DataNode", _START_SECONDS, running)
        elif name in yarn.PARTS:
            running = [daemon for other, daemon in self.parts.items() if other in yarn.PARTS and daemon.running()]
            if len(running) == len(yarn.PARTS):
                wait_until(lambda: yarn.active_nodes(ports.yarn_ui) >= 1, "an active NodeManager", _START_SECONDS, running)
        elif name == "history":
            wait_until(lambda: spark.history_answers(ports.history), "an answer of its REST interface", _START_SECONDS, [part])
        elif self.parts["master"].running():
            workers = [daemon for other, daemon in self.parts.items() if other.startswith("worker-") and daemon.running()]
            expected = len(workers)
            watched = [self.parts["master"], *workers]
            wait_until(lambda: spark.alive_workers(ports.master_ui) >= expected, f"{expected} workers alive", _START_SECONDS, watched)

    def _write_state(self) -> None:
        uri = storage.join(self.directory.as_uri(), FILE_NAME)
        storage.write_json(uri, self.state.model_dump(mode="json"))

    def __enter__(self) -> LocalCluster:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
