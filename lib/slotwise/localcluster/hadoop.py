"""The real HDFS servers, NameNode and DataNode, from one jar beside the Hadoop client that pyspark ships."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from slotwise.localcluster import spark
from slotwise.localcluster.jars import Jar, fetched
from slotwise.localcluster.processes import HOST, Daemon, DaemonFailed, fetch_json

_SERVERS = Jar("org.apache.hadoop", "hadoop-client-minicluster", "3.4.1", "5b90be54a39d856f237a4530e25f62aea4b67c180c73b5cfb1aff35c502b2d29")
_JAVA_OPTIONS = ["-Xmx512m", *spark.LIGHT, "-Dslotwise.log.level=info"]


def servers_jar() -> Path:
    """The jar with all of Hadoop's servers; what it depends on, pyspark's own jars hold, but for what YARN takes beside.

    Raises:
        DataError: it cannot be fetched, or what came is not the known file.
    """
    return fetched(_SERVERS)


def write_configuration(directory: Path, port: int, ui_port: int) -> None:
    """Writes `conf/core-site.xml` and `conf/hdfs-site.xml` of an HDFS whose data lives in `directory`."""
    core = {"fs.defaultFS": f"hdfs://{HOST}:{port}", "hadoop.tmp.dir": f"{directory}/hdfs/tmp"}
    hdfs = {
        "dfs.namenode.name.dir": (directory / "hdfs" / "name").as_uri(),
        "dfs.namenode.rpc-bind-host": HOST,
        "dfs.namenode.http-address": f"{HOST}:{ui_port}",
        "dfs.datanode.data.dir": (directory / "hdfs" / "data").as_uri(),
        "dfs.datanode.hostname": HOST,
        "dfs.datanode.address": f"{HOST}:0",
        "dfs.datanode.http.address": f"{HOST}:0",
        "dfs.datanode.ipc.address": f"{HOST}:0",
        "dfs.replication": "1",
        # Whoever can reach loopback is the user who started it.
        "dfs.permissions.enabled": "false",
        # One DataNode on a busy laptop: a lost heartbeat must not stop writing for ten minutes.
        "dfs.heartbeat.interval": "1",
        "dfs.namenode.redundancy.considerLoad": "false",
        "dfs.namenode.safemode.extension": "0",
    }
    write_site(configuration(directory), "core", core)
    write_site(configuration(directory), "hdfs", hdfs)


def configuration(directory: Path) -> Path:
    """Hadoop's configuration of the cluster in `directory`: what `HADOOP_CONF_DIR` names for its clients."""
    return directory / "conf"


def write_site(conf: Path, name: str, properties: Mapping[str, str]) -> None:
    """Writes `NAME-site.xml` of a configuration directory."""
    conf.mkdir(parents=True, exist_ok=True)
    entries = "".join(f"  <property><name>{escape(key)}</name><value>{escape(value)}</value></property>\n" for key, value in properties.items())
    (conf / f"{name}-site.xml").write_text(f"<configuration>\n{entries}</configuration>\n")


def format_namenode(directory: Path) -> None:
    """Makes an empty file system, unless `directory` has one from an earlier start."""
    if (directory / "hdfs" / "name" / "current" / "VERSION").exists():
        return
    command = [*java(directory), "org.apache.hadoop.hdfs.server.namenode.NameNode", "-format", "-nonInteractive"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise DaemonFailed(f"The NameNode's directory could not be formatted:\n{done.stderr.strip()[-2000:]}")


def namenode(directory: Path, tied: bool) -> Daemon:
    command = [*java(directory), "org.apache.hadoop.hdfs.server.namenode.NameNode"]
    return Daemon("namenode", command, directory / "logs" / "namenode.log", tied=tied)


def datanode(directory: Path, tied: bool) -> Daemon:
    command = [*java(directory), "org.apache.hadoop.hdfs.server.datanode.DataNode"]
    return Daemon("datanode", command, directory / "logs" / "datanode.log", tied=tied)


def java(directory: Path, first: Sequence[Path] = ()) -> list[str]:
    """The command that a server's class is appended to, with `first` before all else on its class path."""
    class_path = ":".join(map(str, (*first, configuration(directory), spark.configuration(), servers_jar(), f"{spark.home()}/jars/*")))
    return [spark.java(), *_JAVA_OPTIONS, spark.mark(directory), "-cp", class_path]


def is_ready(ui_port: int) -> bool:
    """Whether the NameNode has left safe mode and knows a live DataNode.

    Raises:
        OSError: it does not answer yet.
    """
    query = f"http://{HOST}:{ui_port}/jmx?qry=Hadoop:service=NameNode,name="
    info = fetch_json(query + "NameNodeInfo")["beans"]
    state = fetch_json(query + "FSNamesystemState")["beans"]
    return bool(info and state) and info[0]["Safemode"] == "" and state[0]["NumLiveDataNodes"] >= 1
