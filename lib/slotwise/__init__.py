"""Exact, fast, survivable training of image classifiers on the executor slots of a Spark cluster."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slotwise.api import evaluate, predict, prepare, train, tune

__all__ = ["evaluate", "predict", "prepare", "train", "tune"]
__version__ = "0.1.0"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Loads Spark with the first function that is asked for: executors and slots import this package too."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("slotwise.api"), name)
