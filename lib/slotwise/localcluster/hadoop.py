"""The real HDFS servers, NameNode and DataNode, from one jar beside the Hadoop client that pyspark ships."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from slotwise import storage
from slotwise.errors import DataError
from slotwise.localcluster import spark
from slotwise.localcluster.processes import HOST, Daemon, DaemonFailed, fetch_json

VERSION = "3.4.1"
_ARTIFACT = "hadoop-client-minicluster"
_SHA256 = "5b90be54a39d856f237a4530e25f62aea4b67c180c73b5cfb1aff35c502b2d29"
_JAVA_OPTIONS = ["-Xmx512m", *spark.LIGHT, "-Dslotwise.log.level=info"]


def servers_jar() -> Path:
    """The jar with the HDFS servers, fetched once for this user through the Ivy that Spark ships.

    Raises:
        DataError: it cannot be fetched, or what came is not the known file.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slotwise"
    jar = cache / f"{_ARTIFACT}-{VERSION}.jar"
    if jar.exists():
        return jar
    cache.mkdir(parents=True, exist_ok=True)
    # One at a time: Ivy's own cache does not bear two that fetch the same.
    with open(cache / ".fetching", "w") as lock, tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if jar.exists():
            return jar
        fetched = Path(scratch) / jar.name
        pattern = f"{scratch}/[artifact]-[revision].[ext]"
        # Nothing the jar depends on is needed: pyspark's own jars hold it.
        ivy = ["org.apache.ivy.Main", "-warn", "-notransitive", "-types", "jar", "-confs", "master", "-retrieve", pattern]
        command = [spark.java(), "-cp", f"{spark.home()}/jars/*", *ivy, "-dependency", "org.apache.hadoop", _ARTIFACT, VERSION]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=540)
        if not fetched.exists():
            raise DataError(f"{jar.name}, the HDFS servers, could not be fetched:\n{(done.stdout + done.stderr).strip()[-2000:]}")
        checksum = storage.file_sha256(str(fetched))
        if checksum != _SHA256:
            raise DataError(f"{jar.name} as fetched has SHA-256 {checksum}; {_SHA256} was expected")
        fetched.replace(jar)
    return jar


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
    conf = directory / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    (conf / "core-site.xml").write_text(_site(core))
    (conf / "hdfs-site.xml").write_text(_site(hdfs))


def _site(properties: Mapping[str, str]) -> str:
    entries = "".join(f"  <property><name>{escape(key)}</name><value>{escape(value)}</value></property>\n" for key, value in properties.items())
    return f"<configuration>\n{entries}</configuration>\n"


def format_namenode(directory: Path) -> None:
    """Makes an empty file system, unless `directory` has one from an earlier start."""
    if (directory / "hdfs" / "name" / "current" / "VERSION").exists():
        return
    command = [*_java(directory), "org.apache.hadoop.hdfs.server.namenode.NameNode", "-format", "-nonInteractive"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise DaemonFailed(f"The NameNode's directory could not be formatted:\n{done.stderr.strip()[-2000:]}")


def namenode(directory: Path, tied: bool) -> Daemon:
    command = [*_java(directory), "org.apache.hadoop.hdfs.server.namenode.NameNode"]
    return Daemon("namenode", command, directory / "logs" / "namenode.log", tied=tied)


def datanode(directory: Path, tied: bool) -> Daemon:
    command = [*_java(directory), "org.apache.hadoop.hdfs.server.datanode.DataNode"]
    return Daemon("datanode", command, directory / "logs" / "datanode.log", tied=tied)


def _java(directory: Path) -> list[str]:
    class_path = f"{directory}/conf:{spark.configuration()}:{servers_jar()}:{spark.home()}/jars/*"
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
