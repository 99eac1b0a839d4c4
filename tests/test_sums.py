"""The sums of TensorFlow's slots: right in every call, small or large, and nothing of them is left."""

from __future__ import annotations

import ast

import pytest

from slots import run_script

_CALLS, _SUMS_A_CALL = 800, 4
_GROWTH = 4 << 20  # TensorFlow kept 1.5 kB of each sum: 14 MB here

_SLOT = f"""
import zlib
import numpy as np
import tensorflow as tf
from slotwise.engines.tensorflow import collective
from slotwise.engines.tensorflow.network import ONE_TRIP_BYTES

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
slots = collective.connect(60, through_memory=THROUGH_MEMORY)
# Below and above what goes around the ring once.
shapes = [[], [3, 5], [ONE_TRIP_BYTES // 4 + 1]]

def chain(value):
    for _ in range({_SUMS_A_CALL}):
        value = slots.sum(value)
    return value

summed = tf.function(lambda value: slots.run(chain, value), autograph=False)

def memory():
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) << 10 for line in file if line.startswith("Anonymous:"))

def wrong(first, end):
    found = []
    for number in range(first, end):
        # Of n, n + 1 and so on, and then of what all slots have.
        right = (slots.count * number + slots.count * (slots.count - 1) // 2) * slots.count ** {_SUMS_A_CALL - 1}
        found += [(number, shape) for shape in shapes if not np.array_equal(summed(tf.fill(shape, float(number + slots.rank))), np.full(shape, right))]
    return found
"""

_ENDS = """
# Sums of what has no exact binary fraction round differently in another order: all slots have to have the same bits.
values = [tf.constant(np.random.default_rng([slots.rank, len(shape)]).normal(size=shape), dtype) for shape in shapes for dtype in (tf.float32, tf.float64)]
warnings = []
tf.get_logger().addFilter(warnings.append)
sums = [slots.summed(value).numpy() for value in values]
print("warnings", len(warnings))
print("bits", zlib.crc32(b"".join(each.tobytes() for each in sums)), [list(each.shape) for each in sums[::2]] == shapes)
slots.part()
"""


# How slots sum, by the host of each; the third of three hosts has one slot alone.
_ON_ONE_HOST, _ON_SEVERAL = "all slots share this host: they sum through memory", "slots that share a host sum through memory, and 3 hosts over the network"
WAYS = pytest.mark.parametrize(
    ("hosts", "through_memory", "said"),
    [
        ((0, 0), True, [_ON_ONE_HOST]),
        ((0, 0, 0), True, [_ON_ONE_HOST]),
        ((0, 0), False, []),
        ((0, 0, 0), False, []),
        ((0, 1, 0, 2, 1), True, [_ON_SEVERAL]),
    ],
    ids=["memory-2", "memory-3", "ring-2", "ring-3", "hosts"],
)


def _script(through_memory: bool, ends: str) -> str:
    return f"THROUGH_MEMORY = {through_memory}\n{_SLOT}{ends}"


@WAYS
def test_sums_are_right_and_the_same_bits_on_every_slot(hosts: tuple[int, ...], through_memory: bool, said: list[str]) -> None:
    outputs = run_script(_script(through_memory, f"print(wrong(0, 30)){_ENDS}"), len(hosts), hosts)
    assert [[line for line in each.split("\n") if "through memory" in line] for each in outputs] == [said] * len(hosts)
    ends = [each.split("\n")[-4:-1] for each in outputs]
    wrong, warnings, bits = ends[0]
    assert wrong == "[]"
    assert warnings == "warnings 0"  # TensorFlow's, of one function that is traced for each shape
    assert bits.startswith("bits ")
    assert bits.endswith(" True")
    assert ends == ends[:1] * len(hosts)


@pytest.mark.parametrize("through_memory", [True, False], ids=["memory", "ring"])
def test_sums_leave_nothing_behind(through_memory: bool) -> None:
    script = f"wrong(0, 300); before = memory(); print(wrong(300, {300 + _CALLS}), memory() - before); slots.part()"
    for said in run_script(_script(through_memory, script), 2):
        wrong, growth = said.split("\n")[-2].rsplit(maxsplit=1)
        assert wrong == "[]"
        assert int(growth) < _GROWTH


_TOGETHER = """
def several(value):
    # What does not change, as the gradient of a layer that is multiplied by nought, TensorFlow would work out once.
    constant = [tf.constant(slots.rank + 1.0), tf.ones([5])]
    return slots.sums([value, tf.fill([2, 3], 2 * value)]), slots.sums(constant), slots.sums([3 * value], [tf.fill([2], value), tf.ones([])], constant)

together = tf.function(lambda value: slots.run(several, value), autograph=False)
for number in range(4):
    print([each.numpy().ravel().tolist() for sums in together(tf.constant(float(number))) for each in sums])
slots.part()
"""


@WAYS
def test_tensors_that_are_summed_together_are_right_in_every_call_constant_ones_too(hosts: tuple[int, ...], through_memory: bool, said: list[str]) -> None:
    slots = len(hosts)
    constant = [[slots * (slots + 1) / 2], [slots] * 5]
    right = [
        [[slots * number], [2 * slots * number] * 6, *constant, [3 * slots * number], [slots * number] * 2, [slots], *constant] for number in range(4)
    ]
    for output in run_script(_script(through_memory, _TOGETHER), slots, hosts):
        assert [ast.literal_eval(line) for line in output.split("\n")[-5:-1]] == right


_OUT_OF_ORDER = """
import threading
import tensorflow as tf
from slotwise.engines.tensorflow import collective
from slotwise.engines.tensorflow.network import ONE_TRIP_BYTES

slots = collective.connect(60, through_memory=False)
known = threading.Event()

def late(value):
    assert known.wait(30), "the second sum waits for the first"
    return value

def note(value):
    known.set()
    return value

def two(shape):
    def sums(value):
        first = slots.sum(tf.ensure_shape(tf.numpy_function(late, [value], tf.float32, stateful=False), shape))
        return first, tf.numpy_function(note, [slots.sum(value + 1)], tf.float32, stateful=False)
    known.clear()
    first, second = tf.function(lambda value: slots.run(sums, value), autograph=False)(tf.ones(shape))
    return float(first.numpy().max()), float(second.numpy().max())

print(two([3]), two([ONE_TRIP_BYTES]))
slots.part()
"""


def test_a_sum_over_the_network_begins_when_its_values_are_known_whichever_were_written_before() -> None:
    """So the last layers' gradients travel while those of the first layers are computed."""
    for said in run_script(_OUT_OF_ORDER, 2):
        assert said.split("\n")[-2] == "(2.0, 4.0) (2.0, 4.0)"
