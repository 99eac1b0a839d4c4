"""Loads Keras and TensorFlow without what they take along only because it is installed."""

from __future__ import annotations

import sys

# For plots and data frames that no slot makes, a third of the time that TensorFlow takes to load.
_TAKEN_ALONG = ("matplotlib", "pandas", "scipy", "sklearn")


def load() -> None:
    """Imports both; afterwards the others can be imported as ever, by a model of the user's own for example."""
    kept_out = [name for name in _TAKEN_ALONG if name not in sys.modules]
    for name in kept_out:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's sign for what cannot be imported
    try:
        # In this order: Triton, which Keras loads with PyTorch, crashes where TensorFlow's LLVM is loaded already.
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
    finally:
        for name in kept_out:
            del sys.modules[name]
