"""export: files that other programs open, worth what the report says, in place only when whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from datasets import make_dataset, samples_of
from job_runs import EXPORT, empty_split, without_java
from records import export_record, run_record, write_model, write_run
from slotwise import config, models, storage
from slotwise.contracts.export import ORIGINAL, ExportRecord
from slotwise.conversion.agreement import NOTHING, agreement
from slotwise.conversion.timing import in_turn, quartiles
from slotwise.conversion.write import markdown
from slotwise.errors import DataError, UsageError
from slotwise.pipelines import convert
from slotwise.settings.export import ExportSettings

# Of the interpreter that the tests open files with.
pytestmark = pytest.mark.filterwarnings(r"ignore:\s*Warning. tf\.lite\.Interpreter is deprecated")

SIZE = (16, 16)
NAMES = [f"class {label}" for label in range(4)]
COUNTS = (6, 12, 23)
TFLITE = ("tflite", "tflite_float16", "tflite_dynamic", "tflite_int8")
# Batch normalisation is folded into the weights before it, which rounds each of them once more in float32.
ROUNDING = 1e-5


@settings(max_examples=30, deadline=None)
@given(images=st.integers(1, 40), seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 40), max_size=3))
def test_agreement_is_the_same_however_the_images_are_divided(images: int, seed: int, cuts: list[int]) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, images)
    answers = {name: random.random((images, 3)) for name in (ORIGINAL, "other")}
    bounds = sorted({0, images, *(cut for cut in cuts if cut < images)})
    found = NOTHING
    for low, high in pairwise(bounds):
        found += agreement({name: each[low:high] for name, each in answers.items()}, labels[low:high])
    named = {name: each.argmax(1) for name, each in answers.items()}
    assert found.images == images
    assert found.right == {name: (classes == labels).sum() for name, classes in named.items()}
    assert found.agreed == {ORIGINAL: images, "other": (named["other"] == named[ORIGINAL]).sum()}


def test_models_are_timed_in_turn_and_short_calls_many_to_a_round() -> None:
    now, called = 0.0, []

    def action(name: str, seconds: float) -> Any:
        def act() -> None:
            nonlocal now
            now += seconds
            called.append(name)

        return act

    found = in_turn({"slow": action("slow", 0.5), "quick": action("quick", 0.01)}, 3, clock=lambda: now)
    assert {name: [pytest.approx(seconds) for seconds in values] for name, values in found.items()} == {"slow": [0.5] * 3, "quick": [0.01] * 3}
    turns = [name for name, before in zip(called, [None, *called], strict=False) if name != before]
    assert turns == ["slow", "quick"] * 4  # once to see how long they take
    assert called.count("quick") > called.count("slow")


def test_quartiles_of_few_values() -> None:
    assert quartiles([2.0]) == (2.0, 2.0, 2.0)
    assert quartiles([4.0, 1.0, 2.0, 3.0, 5.0]) == (2.0, 3.0, 4.0)


def test_the_text_says_what_was_lost_and_how_to_call() -> None:
    text = markdown(export_record(["A|B", "Fiction"]))
    for part in ("# run-0 in 2 other formats", "| tflite_int8 ", "+0.75", "4.00×", "scale 0.00390625", "A|B, Fiction", "no such layer", "b" * 64, "f" * 64):
        assert part in text


def model_with_history(name: str, **parameters: Any) -> keras.Model:
    """An untrained model whose batch normalisation has seen something."""
    keras.utils.set_random_seed(1)
    model = models.build(name, (*SIZE, 3), 4, parameters)
    random = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weights.shape) for weights in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset `data` of four classes, runs that fit it in all but one thing each, and datasets that lack a split."""
    root = tmp_path_factory.mktemp("bench")
    dataset = make_dataset(root / "data", shards=3, counts=COUNTS, image_size=SIZE)
    model = model_with_history("simple", filters=8)
    for run, classes in {"run": NAMES, "turned": NAMES[::-1], "no-model": NAMES, "cut": NAMES, "odd": NAMES}.items():
        write_run(str(root / run), run_record(class_names=classes, dataset=dataset, model="simple"))
        if run != "no-model":
            write_model(str(root / run), model)
    (root / "cut" / "model.keras").write_bytes((root / "run" / "model.keras").read_bytes()[:5000])
    _with_other_weights(root / "odd" / "model.keras")
    for name, other in {"grey": models.build("simple", (*SIZE, 1), 4, {"filters": 4}), "resnet": model_with_history("resnet18", filters=8)}.items():
        write_run(str(root / name), run_record(class_names=NAMES, dataset=dataset))
        write_model(str(root / name), other)
    for split in ("test", "validation"):
        shutil.copytree(root / "data", root / f"no-{split}")
        empty_split(root / f"no-{split}", split)
    (root / "done").mkdir()
    (root / "done" / "export.json").touch()
    return root


def _with_other_weights(path: Path) -> None:
    """Puts weights into a model's file that are none of its own; the file itself is whole."""
    with zipfile.ZipFile(path) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w") as odd:
        for name, content in parts.items():
            odd.writestr(name, b"no weights" if name.endswith(".h5") else content)


REFUSALS = {
    "no run": ("", UsageError, ("--run is missing",)),
    "unknown format": ("--run run --formats tflite,coreml", UsageError, ("--formats", "coreml", "tflite_int8")),
    "given twice": ("--run run --formats tflite,tflite", UsageError, ("A format is given more than once",)),
    "run without a model": ("--run no-model", UsageError, ("The run has no model", "/no-model")),
    "damaged model": ("--run cut", DataError, ("is damaged, or no Keras file",)),
    "classes in another order": ("--run turned", UsageError, ("/turned are not those of", "the same names in another order")),
    "other images": ("--run grey", UsageError, ("do not fit the model of", "/grey", "images of 16x16, grey")),
    "dataset that is not there": ("--run run --dataset absent", DataError, ("There is no dataset at", "/absent")),
    "nothing to measure on": ("--run run --dataset no-test --formats tflite", UsageError, ("The test split of", "is empty")),
    "nothing to calibrate on": ("--run run --dataset no-validation --formats tflite_int8", UsageError, ("The validation split of", "to calibrate tflite_int8 on")),
    "no calibration images": ("--run run --calibration-images 0", UsageError, ("--calibration-images", "a whole number from 1")),
    "export is there": ("--run run --output done", UsageError, ("There is an export already", "/done", "--overwrite")),
    "something else is there": ("--run run --output run --overwrite", UsageError, ("something else than an export", "/run")),
}


@pytest.mark.parametrize(("arguments", "error", "says"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refused_before_spark(arguments: str, error: type[Exception], says: tuple[str, ...], bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench)
    with pytest.raises(error) as refused:
        convert.check(config.load(ExportSettings, arguments.split()))
    for part in says:
        assert part in str(refused.value)


@pytest.mark.parametrize(("name", "package", "install"), [("onnx", "tf2onnx", "slotwise[onnx]"), ("torch_static", "torch", "make torch")])
def test_a_format_whose_package_is_missing_says_what_to_install(name: str, package: str, install: str, bench: Path) -> None:
    if find_spec(package):
        pytest.skip(f"{package} is installed")
    done = without_java(EXPORT, "--run", "run", "--formats", name, cwd=bench)
    assert (done.returncode, done.stdout) == (2, "")
    assert package in done.stderr
    assert install in done.stderr
    assert name not in convert.check(config.load(ExportSettings, ["--run", str(bench / "run")])).formats


def test_without_formats_to_calibrate_no_validation_is_needed(bench: Path) -> None:
    arguments = ["--run", str(bench / "run"), "--dataset", str(bench / "no-validation"), "--formats", "tflite"]
    assert convert.check(config.load(ExportSettings, arguments)).calibration_images == 0


def export(spark: SparkSession, run: Path, output: Path, formats: str) -> ExportRecord:
    arguments = ["--run", str(run), "--output", str(output), "--formats", formats, "--timing-rounds", "1", "--batch-size", "5", "--calibration-images", "9", "--overwrite"]
    return convert.run(config.load(ExportSettings, arguments), "export", spark)


@pytest.fixture(scope="module")
def exported(bench: Path, spark: SparkSession) -> ExportRecord:
    """The good run as SavedModel and in all TFLite formats, below `bench / "out"`."""
    return export(spark, bench / "run", bench / "out", ",".join(("saved_model", *TFLITE)))


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    """Pixels, as TensorFlow decodes them for training, and classes of the test split."""
    samples = samples_of("test", COUNTS[2], 4, SIZE)
    pixels = tf.stack([tf.io.decode_jpeg(sample.image, dct_method="INTEGER_ACCURATE") for sample in samples])
    return pixels.numpy(), np.array([sample.label for sample in samples])


def by_interpreter(file: Path, pixels: np.ndarray) -> np.ndarray:
    """As a program on a phone would, one image after the other."""
    interpreter = tf.lite.Interpreter(str(file))
    interpreter.allocate_tensors()
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for image in pixels:
        interpreter.set_tensor(entry["index"], image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(end["index"])[0])
    scale, zero_point = end["quantization"]
    return (np.array(found, np.float32) - zero_point) * (scale or 1)


def test_other_programs_get_the_probabilities_of_keras(bench: Path, exported: ExportRecord, images: tuple[np.ndarray, np.ndarray]) -> None:
    expected = keras.models.load_model(bench / "run" / "model.keras").predict(images[0], verbose=0)
    served = tf.saved_model.load(str(bench / "out" / "saved_model")).signatures["serving_default"](image=tf.constant(images[0]))["probabilities"]
    np.testing.assert_allclose(served, expected, atol=ROUNDING)
    np.testing.assert_allclose(by_interpreter(bench / "out" / "model.tflite", images[0]), expected, atol=ROUNDING)
    # Half precision has 11 bits; whole numbers of 8 bits have steps of 1/256 in the end, and of the like in each layer.
    np.testing.assert_allclose(by_interpreter(bench / "out" / "model-float16.tflite", images[0]), expected, atol=0.01)
    np.testing.assert_allclose(by_interpreter(bench / "out" / "model-int8.tflite", images[0]), expected, atol=0.15)


def test_the_report_counts_each_test_image_once(bench: Path, exported: ExportRecord, images: tuple[np.ndarray, np.ndarray]) -> None:
    named = keras.models.load_model(bench / "run" / "model.keras").predict(images[0], verbose=0).argmax(1)
    assert exported.images == COUNTS[2]
    assert exported.original.accuracy == np.mean(named == images[1])
    assert exported.original.agreement == 1.0
    for model in exported.models:
        if model.format in ("tflite", "tflite_int8"):
            found = by_interpreter(bench / "out" / model.files[0].path, images[0]).argmax(1)
            assert (model.accuracy, model.agreement) == (np.mean(found == images[1]), np.mean(found == named))
        assert [time.batch for time in model.times] == [1, 32]
        assert all(0 < time.low <= time.median <= time.high for time in model.times)


def test_what_is_in_whole_numbers_has_weights_in_int8_and_takes_pixels_as_they_are(bench: Path, exported: ExportRecord) -> None:
    interpreter = tf.lite.Interpreter(str(bench / "out" / "model-int8.tflite"))
    interpreter.allocate_tensors()
    kinds = {np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()}
    assert kinds <= {"int8", "uint8", "int32"}
    (model,) = (model for model in exported.models if model.format == "tflite_int8")
    assert (model.takes.dtype, model.takes.scale, model.takes.zero_point, model.takes.shape) == ("uint8", 1.0, 0, [None, *SIZE, 3])
    assert (model.gives.dtype, model.gives.shape) == ("uint8", [None, 4])
    assert model.bytes < 0.5 * exported.original.bytes


def test_the_files_are_those_of_the_record(bench: Path, exported: ExportRecord) -> None:
    files = {file.path: file for model in exported.models for file in model.files}
    there = {path.relative_to(bench / "out").as_posix() for path in (bench / "out").rglob("*") if path.is_file()}
    assert there == {*files, "export.json", "export.md", "export.html"}
    for path, file in files.items():
        assert (storage.file_sha256(str(bench / "out" / path)), (bench / "out" / path).stat().st_size) == (file.sha256, file.bytes)
    assert ExportRecord.model_validate(json.loads((bench / "out" / "export.json").read_text())) == exported
    assert (exported.class_names, exported.calibration_images) == (NAMES, 9)


def test_a_model_that_cannot_be_loaded_leaves_the_export_before_it(bench: Path, tmp_path: Path, spark: SparkSession) -> None:
    export(spark, bench / "run", tmp_path / "out", "tflite")
    with pytest.raises(DataError, match=r"The executors cannot export .*/odd: .*The model cannot be loaded: "):
        export(spark, bench / "odd", tmp_path / "out", "tflite_int8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert "model.tflite" in storage.children((tmp_path / "out").as_uri())


# Of a program that knows nothing of Keras and slotwise.
PLAIN_TORCH = """
import sys, numpy, torch
pixels = torch.from_numpy(numpy.load(sys.argv[1]))
numpy.savez(sys.argv[2], *(torch.jit.load(file)(pixels).numpy() for file in sys.argv[3:]))
"""


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("run", ["run", "resnet"])
def test_plain_torch_gets_the_probabilities_of_keras(run: str, bench: Path, tmp_path: Path, spark: SparkSession, images: tuple[np.ndarray, np.ndarray]) -> None:
    record = export(spark, bench / run, tmp_path / "out", "torch,torch_dynamic,torch_static")
    expected = keras.models.load_model(bench / run / "model.keras").predict(images[0], verbose=0)
    np.save(tmp_path / "pixels.npy", images[0])
    files = [str(tmp_path / "out" / model.files[0].path) for model in record.models]
    subprocess.run([sys.executable, "-c", PLAIN_TORCH, str(tmp_path / "pixels.npy"), str(tmp_path / "found.npz"), *files], check=True, timeout=120)
    found = np.load(tmp_path / "found.npz")
    for model, name, tolerance in zip(record.models, found.files, (10 * ROUNDING, 0.05, 0.2), strict=True):
        np.testing.assert_allclose(found[name], expected, atol=tolerance, err_msg=model.format)
    sizes = {model.format: model.bytes for model in record.models}
    assert sizes["torch_static"] < 0.6 * sizes["torch"]


@pytest.mark.skipif(find_spec("tf2onnx") is None or find_spec("onnxruntime") is None, reason="tf2onnx is not installed")
def test_onnx_runtime_gets_the_probabilities_of_keras(bench: Path, tmp_path: Path, spark: SparkSession, images: tuple[np.ndarray, np.ndarray]) -> None:
    import onnxruntime

    export(spark, bench / "run", tmp_path / "out", "onnx")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"image": images[0]})
    np.testing.assert_allclose(found, keras.models.load_model(bench / "run" / "model.keras").predict(images[0], verbose=0), atol=ROUNDING)
