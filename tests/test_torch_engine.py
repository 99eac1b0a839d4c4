"""The torch engine against the TensorFlow engine and against Keras's own layers, and through TorchDistributor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tensorflow as tf

from datasets import make_dataset
from events import seen
from job_runs import COUNTS, TRAIN, tiny_dataset
from slots import largest_difference, last_weights, make_job, run_slots
from slotwise.contracts import run as runs
from slotwise.engines.tensorflow.layers import _keep_mask
from slotwise.errors import UsageError
from slotwise.pipelines import train
from slotwise.settings.train import TrainSettings

if TYPE_CHECKING:
    from conftest import SparkSubmit

# Keras takes one backend for the life of a process, so PyTorch's has one of its own.
IN_TORCH = """
import json, sys
import keras, torch
from keras import layers
from slotwise.engines import arithmetic
from slotwise.engines.torch.collective import Slots
from slotwise.engines.torch.layers import FORMS, keep_mask
from slotwise.engines.torch.normalisation import normalise

def normalised_far_from_zero():
    torch.manual_seed(3)
    image = 1000 + 0.1 * torch.randn(64, 8, 8, 3)
    ones = torch.ones(3)
    outputs, mean, variance = normalise(image, ones, 0 * ones, 1e-3, Slots(0, 1, torch.device("cpu")), True)
    exact = image.double().reshape(-1, 3)
    return [float((variance / exact.var(0, unbiased=False) - 1).abs().max()), float((mean - exact.mean(0)).abs().max())]

def difference(layer, shape):
    torch.manual_seed(3)
    image = torch.randn(shape, requires_grad=True)
    form = FORMS[type(layer)].from_config(layer.get_config())
    outcomes = []
    for each in (layer, form):
        each.build(shape)
        each.set_weights(layer.get_weights())
        outputs = each(image)
        weights = [variable.value for variable in each.trainable_variables]
        upstream = torch.linspace(-1, 1, outputs.numel()).reshape(outputs.shape)
        outcomes.append([outputs, *torch.autograd.grad(outputs, [image, *weights], upstream)])
    return max(float((one - other).abs().max() / one.abs().max()) for one, other in zip(*outcomes, strict=True))

def convolved_in_halves(speed):
    arithmetic.speed = lambda dtype: speed
    layer = FORMS[layers.Conv2D](4, 3, padding="same", use_bias=False, dtype="mixed_bfloat16")
    image = torch.randn(2, 11, 14, 6).bfloat16()
    layer.build(image.shape)
    multiplied, convolve = [], torch.nn.functional.conv2d

    def spied(image, kernel, *rest):
        multiplied.append([str(image.dtype), str(kernel.dtype)])
        return convolve(image, kernel, *rest)

    torch.nn.functional.conv2d = spied
    outputs = layer(image)
    torch.nn.functional.conv2d = convolve
    kernel = layer.kernel.value.bfloat16().double()
    exact = convolve(image.double().permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), padding=1).permute(0, 2, 3, 1)
    return [str(outputs.dtype), multiplied, float(((outputs.double() - exact).abs() / (exact.abs() + 1e-3)).max())]

shape = (2, 11, 14, 6)
found = {}
for padding in ("same", "valid"):
    for size in (2, 3):
        for strides in (1, 2, 3):
            found[f"pooling {size} {strides} {padding}"] = difference(layers.MaxPooling2D(size, strides, padding), shape)
            found[f"convolution {size} {strides} {padding}"] = difference(layers.Conv2D(4, size, strides, padding, activation="relu"), shape)
found["dilated"] = difference(layers.Conv2D(4, 3, padding="same", dilation_rate=2, use_bias=False), shape)
found["groups"] = difference(layers.Conv2D(4, 3, padding="same", groups=2), shape)
keys = torch.tensor(json.loads(sys.argv[1]))
masks = [keep_mask(keys, torch.Size([5, 3]), rate, layer).int().tolist() for rate, layer in ((0.25, 1), (0.5, 7))]
print(json.dumps([found, masks, normalised_far_from_zero(), [convolved_in_halves(speed) for speed in (0.5, 2.0)]]))
"""
KEYS = [0, 1, 2**62 - 1, 123_456_789_012_345_678, 2**31, 2**32]


def test_its_layers_are_those_of_keras_and_its_masks_those_of_tensorflow() -> None:
    environment = {**os.environ, "KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", IN_TORCH, json.dumps(KEYS)], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    differences, masks, (of_variance, of_mean), halves = json.loads(done.stdout.splitlines()[-1])
    assert {name: share for name, share in differences.items() if share > 1e-5} == {}
    # PyTorch's own kernel adds up in single precision, whose steps at 1,000 are of 6e-5.
    assert of_variance < 1e-3
    assert of_mean < 2e-3
    for (dtype, multiplied, rounding), where in zip(halves, ("float32", "bfloat16"), strict=True):
        assert (dtype, multiplied) == ("torch.bfloat16", [[f"torch.{where}"] * 2])
        assert rounding < 1.01 * 2**-8
    for mask, (rate, layer) in zip(masks, ((0.25, 1), (0.5, 7)), strict=True):
        expected = _keep_mask(tf.constant(KEYS, tf.int64), tf.TensorShape([5, 3]), rate, layer)
        np.testing.assert_array_equal(np.array(mask, bool), expected.numpy())


# Numbers that are the same in single and in double precision: TensorFlow rounds Python's numbers to single precision first.
EXACT = """
import keras
from keras import layers

def exact(image_shape, classes):
    decay = keras.regularizers.L2(2**-10)
    inputs = keras.Input(image_shape)
    x = layers.Rescaling(2**-8)(inputs)
    for width, strides in ((8, 1), (12, 2)):
        x = layers.Conv2D(width, 3, strides, padding="same", use_bias=False, kernel_regularizer=decay)(x)
        x = layers.ReLU()(layers.MaxPooling2D(3, 2, padding="same")(layers.BatchNormalization(momentum=0.75)(x)))
        x = layers.Dropout(0.25)(x)
    x = layers.BatchNormalization(scale=False)(layers.Dense(16, activation="relu")(layers.Flatten()(x)))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(layers.Dropout(0.5)(x)))
"""


IN_PLAIN_KERAS = """
import sys
import keras, numpy
model = keras.models.load_model(sys.argv[1])
print(keras.backend.backend(), model.predict(numpy.zeros((2, 16, 16, 3)), verbose=0).shape[1])
assert "slotwise" not in sys.modules
"""


# PyTorch goes on from the weights and the optimizer of a checkpoint that TensorFlow went on from, so nothing else than their arithmetic is between them.
@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({"model": "nets:exact", "optimizer": "sgd", "momentum": 0.75, "label_smoothing": 0.1, "schedule": "cosine"}, 1e-10),
        ({"model": "resnet18", "optimizer": "sgd", "model_parameters": {"filters": 4}}, 1e-5),
    ],
    ids=["exact, SGD", "resnet18"],
)
def test_both_engines_go_on_alike_from_the_same_weights(
    settings: dict[str, object], tolerance: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets.py").write_text(EXACT)
    monkeypatch.chdir(tmp_path)
    dataset = make_dataset(tmp_path / "dataset", image_size=(64, 64), counts=(97, 20, 20), class_weights=[0.5, 1.0, 2.0, 0.75])
    common = {"epochs": 3, "augment": ["flip", "rotate"], "steps_per_epoch": 4, "keep_checkpoints": 3, **settings}
    jobs = [make_job(dataset, tmp_path / "tensorflow", **common), make_job(dataset, tmp_path / "torch", engine="torch", slots=2, resume=True, **common)]
    results = [run_slots(jobs[0], 1)]
    shutil.copytree(tmp_path / "tensorflow", tmp_path / "torch")
    for checkpoint in (tmp_path / "torch" / "checkpoints").glob("*-0000[23]*"):
        checkpoint.unlink()
    results.append(run_slots(jobs[1], 2))
    assert [(each.epoch, each.step) for each in results[1].resumed_from] == [(1, 0)]
    print(f"{settings['model']}: largest weight difference between the engines {largest_difference(*jobs):.2e}")
    assert largest_difference(*jobs) <= tolerance
    assert max(np.abs(weight).max() for weight in last_weights(jobs[0])) > 1e-2
    one, other = results
    assert [epoch.gradient_norm for epoch in other.epochs] == pytest.approx([epoch.gradient_norm for epoch in one.epochs], rel=1e-3)
    assert seen(jobs[1].run).images["confusion/validation"] == seen(jobs[0].run).images["confusion/validation"]
    assert other.test_loss == pytest.approx(one.test_loss, rel=tolerance)
    assert (other.test_accuracy, other.parameters) == (one.test_accuracy, one.parameters)


@pytest.mark.cluster
def test_it_trains_through_torch_distributor(tmp_path: Path, spark_submit: SparkSubmit) -> None:
    dataset = tiny_dataset(tmp_path / "tiny")
    flags = ["--engine", "torch", "--slots", "2", "--model", "simple", "--epochs", "2", "--batch-size", "16"]
    done = spark_submit("--master", "local[2]", TRAIN, "--dataset", dataset, "--run", str(tmp_path / "run"), *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    record = runs.load(str(tmp_path / "run"))
    assert (record.engine, record.slots, [slot.slot for slot in record.placement]) == ("torch", 2, [0, 1])
    assert record.versions["torch"] != "absent"
    assert str(record.audit) == f"each of {COUNTS[0]} ids exactly once in each of 2 epochs"
    assert "Traceback" not in done.stdout + done.stderr
    command = [sys.executable, "-c", IN_PLAIN_KERAS, str(tmp_path / "run" / "model.keras")]
    for backend in ("tensorflow", "torch"):
        loaded = subprocess.run(command, env={**os.environ, "KERAS_BACKEND": backend}, capture_output=True, text=True, timeout=120, check=False)
        assert loaded.stdout.splitlines()[-1:] == [f"{backend} {len(record.class_names)}"], loaded.stderr


def test_it_is_refused_where_pytorch_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = tiny_dataset(tmp_path / "tiny")
    settings = TrainSettings(dataset=dataset, run=str(tmp_path / "run"), batch_size=16, engine="torch")
    assert train.check(settings).settings.engine == "torch"
    monkeypatch.setattr(train, "installed_versions", lambda: {"torch": "absent"})
    with pytest.raises(UsageError, match="make torch"):
        train.check(settings)
    assert train.check(settings.model_copy(update={"engine": "tensorflow"})).settings.engine == "tensorflow"
