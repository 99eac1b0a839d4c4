"""A run's model file, as somebody without slotwise uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from datasets import make_dataset
from slots import make_job, run_slots

_PLAIN_KERAS = """
import json, sys

class NoSlotwise:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "slotwise":
            raise ImportError("slotwise is not here")

sys.meta_path.insert(0, NoSlotwise())
import keras, numpy as np, tensorflow as tf

model = keras.models.load_model(sys.argv[1])
features = {"label": tf.io.FixedLenFeature([], tf.int64), "image": tf.io.FixedLenFeature([], tf.string)}
records = [tf.io.parse_single_example(record, features) for record in tf.data.TFRecordDataset(sys.argv[2:])]
images = np.stack([tf.io.decode_jpeg(record["image"], dct_method="INTEGER_ACCURATE").numpy() for record in records])
labels = np.array([int(record["label"]) for record in records])
probabilities = model.predict(images, batch_size=16, verbose=0)
right = int((probabilities.argmax(1) == labels).sum())
loss = float(-np.log(probabilities[np.arange(len(labels)), labels].astype("float64")).mean())
print(json.dumps([right, len(labels), loss, [type(layer).__module__ for layer in model.layers]]))
"""


@pytest.mark.parametrize("model", ["simple", "covers"])
def test_the_model_file_needs_keras_only_and_gives_the_accuracy_stated(model: str, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", image_size=(48, 40), counts=(121, 24, 45))
    result = run_slots(make_job(dataset, tmp_path / "run", model=model, precision="float32", slots=2), 2)
    shards = sorted(str(path) for path in (tmp_path / "dataset" / "test").iterdir())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-I", "-c", _PLAIN_KERAS, str(tmp_path / "run" / "model.keras"), *shards]
    environment = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": "/usr/bin:/bin", "HOME": str(elsewhere)}
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    right, images, loss, modules = json.loads(done.stdout.splitlines()[-1])
    assert (right / images, images) == (result.test_accuracy, result.test_images)
    assert loss == pytest.approx(result.test_loss, rel=1e-5)
    assert all(module.startswith("keras.") for module in modules)
