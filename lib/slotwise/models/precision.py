"""The arithmetic of a model's last layer."""

from __future__ import annotations

import keras


def output_dtype() -> str:
    """At least float32: probabilities in 16 bits lose the small ones."""
    return "float64" if keras.config.floatx() == "float64" else "float32"
