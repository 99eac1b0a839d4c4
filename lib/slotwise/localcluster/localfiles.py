"""A class for the NodeManager, compiled once for this user by the compiler that Spark ships.

Without Hadoop's native library, which no package holds, Hadoop starts a `chmod` for each single file of an archive that it unpacks:
minutes for a Python environment. This class sets permissions by Java.
"""

from __future__ import annotations

import os
import tempfile
from hashlib import sha256
from pathlib import Path

from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

from slotwise.localcluster import spark

_SOURCE = Path(__file__).with_name("LocalFiles.java")
NAME = "slotwise.LocalFiles"
"""The class, to be set as `fs.AbstractFileSystem.file.impl`."""


def compiled(cache: Path) -> Path:
    """The directory below `cache` with the class, to be put on the class path."""
    source = _SOURCE.read_bytes()
    directory = cache / f"{_SOURCE.stem}-{sha256(source).hexdigest()[:12]}"
    if not directory.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".compile-") as scratch:
            made = Path(scratch) / "classes"
            for name, content in _bytecodes(source.decode()).items():
                file = made / f"{name.replace('.', '/')}.class"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            if not directory.exists():  # another process may have been faster
                os.replace(made, directory)
    return directory


def _bytecodes(source: str) -> dict[str, bytes]:
    jars = spark.home() / "jars"
    (py4j,) = jars.glob("py4j-*.jar")
    port = launch_gateway(jarpath=str(py4j), classpath=f"{jars}/*", die_on_exit=True, java_path=spark.java(), javaopts=list(spark.LIGHT))
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    try:
        compiler = gateway.jvm.org.codehaus.janino.SimpleCompiler()
        compiler.cook(source)
        return {str(name): bytes(content) for name, content in dict(compiler.getBytecodes()).items()}
    finally:
        gateway.shutdown()
