"""Whether 16-bit numbers pay where a slot trains: some processors have instructions for them that are slower than those for 32 bits."""

from __future__ import annotations

from functools import cache

import keras

from slotwise.engines.timing import median_seconds

_SIDE, _TURNS = 512, 5

# Below it the difference is not that of two measurements.
_SLOWER = 0.9


@cache
def speed(dtype: str) -> float:
    """How many products of two 512 x 512 matrices this process makes in `dtype` in the time of one in float32, by the engine's own kernels; takes some ms."""
    return _seconds("float32") / _seconds(dtype)


def is_slow(dtype: str) -> bool:
    """Whether this process multiplies 16-bit numbers of a dtype slower than those of float32; False of any other dtype."""
    return dtype in ("bfloat16", "float16") and speed(dtype) < _SLOWER


def advice(dtype: str, speed: float) -> str | None:
    """What to say of a training in `dtype`, if anything.

    >>> advice("bfloat16", 0.534)
    'this machine multiplies bfloat16 at 0.53 of the speed of float32: --precision float32 is likely to train as fast or faster'
    >>> advice("bfloat16", 1.9) is None
    True
    """
    return f"this machine multiplies {dtype} at {speed:.2f} of the speed of float32: --precision float32 is likely to train as fast or faster" if speed < _SLOWER else None


def _seconds(dtype: str) -> float:
    matrix = keras.ops.ones((_SIDE, _SIDE), dtype)
    # A number taken out waits for a GPU too.
    return median_seconds(lambda: float(keras.ops.cast(keras.ops.matmul(matrix, matrix)[0, 0], "float32")), _TURNS)
