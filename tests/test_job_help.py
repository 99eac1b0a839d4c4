"""--help of the jobs: it works without Spark, and every example in it is a call that is understood."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from job_runs import AUDIT, COMPARE, DOCTOR, EVALUATE, EXPORT, JOBS, PREDICT, PREPARE, SETTINGS, STUDY, TRAIN, TUNE, without_java
from slotwise import config

if TYPE_CHECKING:
    from conftest import SparkSubmit


def check_help(text: str, job: str) -> None:
    """Every flag is named, and the examples, at least two, can be parsed by the job that they name."""
    for name in SETTINGS[job].model_fields:
        assert f"--{name.replace('_', '-')}" in text
    examples = [line.strip() for line in text.partition("examples:")[2].splitlines() if line.strip()]
    assert len(examples) >= 2
    for example in examples:
        words = shlex.split(example)
        assert words[0] == "spark-submit"
        at = next(number for number, word in enumerate(words) if word.endswith(".py"))
        assert words[at] == f"jobs/{job}.py"
        assert (JOBS / f"{job}.py").exists()
        assert all(word.startswith("--") for word in words[1:at:2]), "spark-submit's own flags come in pairs before the job"
        config.load(SETTINGS[job], words[at + 1 :])


@pytest.mark.parametrize("script", [PREPARE, TRAIN, STUDY, AUDIT, PREDICT, EVALUATE, TUNE, EXPORT, DOCTOR])
def test_help_needs_no_spark(script: str, tmp_path: Path) -> None:
    done = without_java(script, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    check_help(done.stdout, Path(script).stem)


def test_help_by_spark_submit(tmp_path: Path, spark_submit: SparkSubmit) -> None:
    done = spark_submit(COMPARE, "--help", cwd=tmp_path)
    assert done.returncode == 0
    check_help(done.stdout, "compare")
    assert not (tmp_path / "workspace").exists()
