"""What a training loads before it can begin, and what stays possible afterwards."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
from slotwise.engines import lean
lean.load()
import keras, tensorflow
print(*sorted({"keras", "matplotlib", "pandas", "sklearn", "tensorflow"} & set(sys.modules)))
import matplotlib.pyplot, pandas, sklearn.base
lean.load()
print(*sorted(name for name in ("matplotlib", "pandas", "sklearn") if sys.modules[name]))
"""


def test_tensorflow_comes_without_plots_and_data_frames_which_can_be_imported_later() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["keras tensorflow", "matplotlib pandas sklearn"]


def test_the_driver_of_a_training_loads_no_plots_before_spark_starts() -> None:
    done = subprocess.run([sys.executable, "-c", "import sys, slotwise.pipelines.train; print('matplotlib' in sys.modules)"], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
