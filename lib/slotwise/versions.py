"""Versions of what decides a result, read from package metadata without importing anything heavy."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("slotwise", "tensorflow", "keras", "torch", "numpy", "pyspark", "spark-tensorflow-distributor", "pillow", "cykooz-resizer")


def installed_versions() -> dict[str, str]:
    """Package name to version, with Python's own; packages that are not installed are `absent`."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
