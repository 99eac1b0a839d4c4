"""What make setup does to a virtual environment's Spark: the project's configuration in it, never in place of another."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from pyspark.sql import SparkSession


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """As much of a virtual environment as the script looks at, with Spark in a directory beside it."""
    spark = tmp_path / "spark home"
    spark.mkdir()
    bin = tmp_path / "venv" / "bin"
    bin.mkdir(parents=True)
    (bin / "python3").symlink_to(sys.executable)
    (bin / "find_spark_home.py").write_text(f"print({str(spark)!r})")
    (bin / "find-spark-home").write_text("#!/usr/bin/env bash\n")
    (bin / "find-spark-home").chmod(0o755)
    return bin.parent


def link(repository: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", repository / "conf" / "link-spark.sh", *arguments], capture_output=True, text=True, check=False)


def test_spark_gets_the_projects_settings_and_its_jars_first(repository: Path, environment: Path) -> None:
    conf = environment.parent / "spark home" / "conf"
    for _ in range(2):  # may be run again
        assert link(repository, environment).returncode == 0
        defaults = (conf / "spark-defaults.conf").read_text()
        assert defaults.startswith((repository / "conf" / "spark-defaults.conf").read_text())
        assert defaults.splitlines()[-1].split(maxsplit=1) == ["spark.driver.extraClassPath", f"{conf.parent}/jars/*"]
        assert {path.name for path in conf.iterdir()} == {"spark-defaults.conf", "spark-env.sh", "log4j2.properties"}
        assert (conf / "spark-env.sh").resolve() == repository / "conf" / "spark-env.sh"


def test_drivers_and_workers_import_the_installed_library_and_not_sparks_zip(spark: SparkSession) -> None:
    def found(_: object) -> tuple[str, list[str]]:
        import py4j
        import pyspark

        # A zip that has been opened is opened anew before each task, whether it is on the path or not.
        return pyspark.__file__ + py4j.__file__, [path for path in [*sys.path, *sys.path_importer_cache] if path.endswith((".zip", ".jar")) and "pyspark" in path]

    driver = "import sys, pyspark; print(pyspark.__file__)"
    home = Path(find_spec("pyspark").origin).parent
    zips = os.pathsep.join(map(str, home.glob("python/lib/*.zip")))
    assert zips
    said = subprocess.run([sys.executable, "-c", driver], env=os.environ | {"PYTHONPATH": zips}, capture_output=True, text=True, check=True).stdout
    assert Path(said.strip()).parent == home
    (files, packed), = spark.sparkContext.parallelize([0], 1).map(found).collect()
    assert ".zip" not in files
    assert packed == []


def test_the_link_of_an_earlier_version_is_replaced(repository: Path, environment: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (environment.parent / "spark home" / "conf").symlink_to(earlier)
    assert link(repository, environment).returncode == 0
    assert list(earlier.iterdir()) == []


def test_a_configuration_of_somebody_else_stays(repository: Path, environment: Path) -> None:
    theirs = environment.parent / "spark home" / "conf" / "spark-defaults.conf"
    theirs.parent.mkdir()
    theirs.write_text("spark.master yarn\n")
    refused = link(repository, environment)
    assert refused.returncode == 2
    assert "Spark has a configuration of its own" in refused.stderr
    assert theirs.read_text() == "spark.master yarn\n"


@pytest.mark.parametrize("script", ["link-spark.sh", "archive-classes.sh"])
def test_without_an_environment_the_scripts_say_what_they_want(repository: Path, tmp_path: Path, script: str) -> None:
    refused = subprocess.run(["bash", repository / "conf" / script, tmp_path], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert f"Accepted: conf/{script} VENV" in refused.stderr


@pytest.mark.parametrize(
    "program",
    ["echo 'no such option'; exit 1", "[[ $* == *--version* ]] && { echo 'no such option'; exit 1; }; touch classes.jsa"],
    ids=["a job that fails", "an archive that Java cannot use"],
)
def test_without_a_good_archive_there_is_a_note(repository: Path, tmp_path: Path, program: str) -> None:
    submit = tmp_path / "bin" / "spark-submit"
    submit.parent.mkdir()
    submit.write_text(f"#!/usr/bin/env bash\n{program}\n")
    submit.chmod(0o755)
    done = subprocess.run(["bash", repository / "conf" / "archive-classes.sh", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "no such option" in done.stderr
    assert "Jobs work without it" in done.stderr
    assert (tmp_path / ".java-classes.options").read_bytes() == b""
    assert {path.name for path in tmp_path.iterdir()} == {"bin", ".java-classes.options"}
