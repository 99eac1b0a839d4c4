"""The locks can be installed on top of each other: no package in two versions."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.markers import Marker


@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
def test_locks_agree_on_each_package(repository: Path, python: str, system: str) -> None:
    here = {"python_version": python, "python_full_version": f"{python}.1", "sys_platform": system}
    versions: dict[str, set[str]] = defaultdict(set)
    for lock in repository.glob("requirements*.lock"):
        for name, version, marker in re.findall(r"^([\w.-]+)==([^\s;]+)(?: *; *([^\\\n]+))?", lock.read_text(), re.MULTILINE):
            if not marker or Marker(marker).evaluate(here):
                versions[name].add(version)
    assert {"pyspark", "tensorflow", "torch", "mlflow", "img2dataset", "atheris"} <= versions.keys()
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}
