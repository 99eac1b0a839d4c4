"""YARN's real ResourceManager and one NodeManager, from the same jar as HDFS and four more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from slotwise.localcluster import hadoop, localfiles, spark
from slotwise.localcluster.jars import Jar, fetched, user_cache
from slotwise.localcluster.processes import HOST, Daemon, fetch_json

# What the servers need and Spark, a client, does not ship; of Bouncy Castle the version whose base Spark ships.
_JARS = (
    Jar("org.bouncycastle", "bcpkix-jdk18on", "1.80", "4f4ba6a92617ea19dc183f0fa5db492eee426fdde2a0a2d6c94777ffd1af6413"),
    Jar("org.bouncycastle", "bcutil-jdk18on", "1.80", "22eca687f7955411f456af33e6ea8e68fc73cd80cb8b32aa5f7a8b1827d7c678"),
    Jar("javax.xml.bind", "jaxb-api", "2.3.1", "88b955a0df57880a26a74708bc34f74dcaf8ebf4e78843a28b50eae945732b06"),
    Jar("com.sun.xml.bind", "jaxb-impl", "2.3.9", "3ba42e1fe670bc9d04409f2493f5482dc96cac21caa11adb27b897e57386fef6"),
)
# The servers' injector makes classes in a way that Java allows by this option only.
_OPEN = ("--add-opens", "java.base/java.lang=ALL-UNNAMED")
_MEMORY_MB = 16 * 1024
PARTS = ("resourcemanager", "nodemanager")


def write_configuration(directory: Path, ports: Mapping[str, int], cores: int) -> None:
    """Writes `conf/yarn-site.xml`, beside HDFS's own.

    Args:
        ports: where the ResourceManager listens, by its properties: address (clients), webapp.address, scheduler.address,
            resource-tracker.address, admin.address.
        cores: virtual cores of the one node; the FIFO scheduler hands out by memory, which is a number here and no limit.
    """
    data = directory / "yarn"
    properties = {
        "yarn.resourcemanager.hostname": HOST,
        "yarn.resourcemanager.bind-host": HOST,
        **{f"yarn.resourcemanager.{name}": f"{HOST}:{port}" for name, port in ports.items()},
        "yarn.resourcemanager.scheduler.class": "org.apache.hadoop.yarn.server.resourcemanager.scheduler.fifo.FifoScheduler",
        # Containers start at the next heartbeat; Hadoop's second is for thousands of nodes.
        "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": "200",
        "yarn.scheduler.minimum-allocation-mb": "256",
        "yarn.scheduler.maximum-allocation-mb": str(_MEMORY_MB),
        "yarn.nodemanager.hostname": HOST,
        "yarn.nodemanager.bind-host": HOST,
        "yarn.nodemanager.address": f"{HOST}:0",
        "yarn.nodemanager.localizer.address": f"{HOST}:0",
        "yarn.nodemanager.webapp.address": f"{HOST}:0",
        "yarn.nodemanager.local-dirs": str(data / "local"),
        "yarn.nodemanager.log-dirs": str(data / "logs"),
        "yarn.nodemanager.resource.cpu-vcores": str(cores),
        "yarn.nodemanager.resource.memory-mb": str(_MEMORY_MB),
        "yarn.nodemanager.pmem-check-enabled": "false",
        "yarn.nodemanager.vmem-check-enabled": "false",
        # Of applications that have ended already; with Hadoop's five seconds the node would be ended before it has stopped by itself.
        "yarn.nodemanager.process-kill-wait.ms": "1000",
        # A laptop's disk is often nearly full, and a node without one takes no containers.
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "99.5",
        # What runs in containers listens on loopback only, as all else here.
        "yarn.nodemanager.env-whitelist": "JAVA_HOME,SPARK_LOCAL_IP",
    }
    hadoop.write_site(hadoop.configuration(directory), "yarn", properties)
    # The node's own, before the other on its class path.
    hadoop.write_site(_nodes(directory), "yarn", {**properties, "fs.AbstractFileSystem.file.impl": localfiles.NAME})


def _nodes(directory: Path) -> Path:
    return hadoop.configuration(directory) / "nodemanager"


def resourcemanager(directory: Path, tied: bool) -> Daemon:
    return _daemon("resourcemanager.ResourceManager", directory, tied, [])


def nodemanager(directory: Path, tied: bool) -> Daemon:
    """The node; it ends its containers when it is stopped."""
    return _daemon("nodemanager.NodeManager", directory, tied, [_nodes(directory), localfiles.compiled(user_cache())])


def _daemon(main: str, directory: Path, tied: bool, first: list[Path]) -> Daemon:
    name = main.partition(".")[0]
    command = [*hadoop.java(directory, [*first, *map(fetched, _JARS)]), *_OPEN, f"org.apache.hadoop.yarn.server.{main}"]
    java_home = Path(spark.java()).resolve().parent.parent
    return Daemon(name, command, directory / "logs" / f"{name}.log", {"JAVA_HOME": str(java_home), "SPARK_LOCAL_IP": HOST}, tied)


def active_nodes(ui_port: int) -> int:
    """How many NodeManagers the ResourceManager counts as active.

    Raises:
        OSError: it does not answer yet.
    """
    beans = fetch_json(f"http://{HOST}:{ui_port}/jmx?qry=Hadoop:service=ResourceManager,name=ClusterMetrics")["beans"]
    return int(beans[0]["NumActiveNMs"]) if beans else 0
