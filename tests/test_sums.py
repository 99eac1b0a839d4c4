"""The sums of TensorFlow's slots: right in every call, and nothing of them is left."""

from __future__ import annotations

from slots import run_script

_CALLS, _SUMS_A_CALL = 1_500, 4
_GROWTH = 4 << 20  # TensorFlow kept 1.5 kB of each sum: 9 MB here

_SLOT = f"""
import tensorflow as tf
from slotwise.engines.tensorflow import collective

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
slots = collective.connect(60)

def chain(value):
    for _ in range({_SUMS_A_CALL}):
        value = slots.sum(value)
    return value

summed = tf.function(lambda value: slots.run(chain, value), autograph=False)

def memory():
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) << 10 for line in file if line.startswith("Anonymous:"))

def wrong(first, end):
    found = {{number: summed(tf.constant(float(number + slots.rank))).numpy() for number in range(first, end)}}
    # Of n and n + 1, and then of what both slots have.
    return [number for number, value in found.items() if value != (2 * number + 1) * slots.count ** {_SUMS_A_CALL - 1}]

wrong(0, 300)
before = memory()
print(wrong(300, {300 + _CALLS}), memory() - before)
slots.part()
"""


def test_sums_are_right_and_leave_nothing_behind() -> None:
    for said in run_script(_SLOT, 2):
        wrong, growth = said.split("\n")[-2].rsplit(maxsplit=1)
        assert wrong == "[]"
        assert int(growth) < _GROWTH
