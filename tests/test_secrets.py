"""Secrets stay with those who know them: not in records, reports, logs; files have the rights that the user's umask gives."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from slotwise import storage
from slotwise.download.addresses import Allowed
from slotwise.download.connections import Connections
from slotwise.download.fetch import FetchOptions, fetch
from slotwise.texts import without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:pass@host/1.jpg", "http://***@host/1.jpg"),
        ("https://user:p@ss@host:8080", "https://***@host:8080"),
        ("http://host/a@b", "http://host/a@b"),
        ("from ftp://x:y@a/b to http://z@c", "from ftp://***@a/b to http://***@c"),
    ],
)
def test_a_password_in_a_url_is_not_shown(text: str, shown: str) -> None:
    assert without_credentials({"a": [text, 1, None]}) == {"a": [shown, 1, None]}


def test_no_failure_of_a_download_tells_a_password() -> None:
    allowed = Allowed.of(["127.0.0.0/8"], [])
    for url in ("ftp://user:hunter2@127.0.0.1/1.jpg", "http://user:hunter2@127.0.0.1:1/1.jpg", "http://user:hunter2@[::1/", "http://user:hunter2@127.0.0.1:99999999/", "http://user:hunter2@10.0.0.1/"):
        failed = fetch(Connections(1, allowed), url, FetchOptions(retries=0, connect_timeout=1.0))
        assert failed.error
        assert "hunter2" not in failed.error


def test_spark_shows_no_secret_in_event_logs_or_pages(spark: SparkSession, repository: Path) -> None:
    (pattern,) = (line.split(maxsplit=1)[1] for line in (repository / "conf" / "spark-defaults.conf").read_text().splitlines() if line.startswith("spark.redaction.regex"))
    pairs = {
        "spark.authenticate.secret": "hunter2",
        "spark.executorEnv.MLFLOW_TRACKING_PASSWORD": "hunter2",
        "sun.java.command": "org.apache.spark.deploy.SparkSubmit jobs/prepare.py --mirror http://a=http://user:hunter2@b",
        "spark.app.name": "slotwise",
    }
    java = spark._jvm
    assert java is not None
    found = java.java.util.ArrayList()  # type: ignore[operator]
    for pair in pairs.items():
        found.add(java.scala.Tuple2(*pair))  # type: ignore[operator]
    conf = java.org.apache.spark.SparkConf(False).set("spark.redaction.regex", pattern)  # type: ignore[operator]
    shown = str(java.org.apache.spark.util.Utils.redact(conf, java.org.apache.spark.api.python.PythonUtils.toSeq(found)))  # type: ignore[operator]
    assert "hunter2" not in shown
    assert "slotwise" in shown


@pytest.mark.parametrize("mask", [0o077, 0o027, 0o002])
def test_files_have_the_rights_that_the_umask_gives(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        storage.write_text((tmp_path / "new" / "file").as_uri(), "text")
        storage.create_exclusively((tmp_path / "new" / "lock").as_uri(), b"")
        storage.upload(str(tmp_path / "new" / "file"), (tmp_path / "new" / "copy").as_uri())
        storage.download((tmp_path / "new" / "file").as_uri(), str(tmp_path / "new" / "fetched"))
    finally:
        os.umask(before)
    rights = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert rights == dict.fromkeys(("file", "lock", "copy", "fetched"), 0o666 & ~mask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o777 & ~mask
