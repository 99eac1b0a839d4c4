"""predict: every row of any input has one row out, with the probabilities of plain Keras or the reason why there are none."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image
from pyspark.sql import SparkSession

import slotwise
from datasets import draw
from http_server import response, scripted
from job_runs import PREDICT, without_java
from records import run_record, write_model, write_run
from slotwise import config, imaging, models, storage
from slotwise.download.fetch import FetchOptions
from slotwise.errors import DataError, UsageError
from slotwise.imaging import NormalisedImage
from slotwise.inference import model_file
from slotwise.inference.preparation import Preparation
from slotwise.ml import ImageClassifierModel
from slotwise.pipelines import predict
from slotwise.pipelines.predict import Predicted
from slotwise.settings.predict import PredictSettings

CLASSES = ["Art", "Fiction & more", "History", "Travel"]
SIZE = (16, 12)
GOOD = ("a.JPG", "deep/er/b c%20d.png", "deep/grey.gif", "wide.webp", "deep/turned.jpg")


def picture(number: int, mode: str, form: str, size: tuple[int, int], **options: Any) -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (*size, 4), np.uint8)
    Image.fromarray(pixels, "RGBA").convert(mode).save(content, form, **options)
    return content.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `colour` and `grey` with models, and a folder `photos` of good and bad files."""
    root = tmp_path_factory.mktemp("predict")
    for name, channels in (("colour", 3), ("grey", 1)):
        keras.utils.set_random_seed(3)
        run = write_run(str(root / name), run_record(model="simple", class_names=CLASSES))
        write_model(run, models.build("simple", (*SIZE, channels), len(CLASSES), {"filters": 8}))
    turned = Image.Exif()
    turned[0x0112] = 6
    contents = (
        draw(1, 2, SIZE),  # a JPEG of the size already, which keeps its bytes
        picture(2, "RGBA", "PNG", (40, 30)),
        picture(3, "L", "GIF", (9, 9)),
        picture(4, "RGB", "WEBP", (20, 200)),
        picture(5, "RGB", "JPEG", (48, 64), exif=turned),
    )
    bad = {"cut.jpg": contents[4][:700], "deep/page.png": b"<html>", "empty.jpeg": b"", "large.bmp": picture(6, "RGB", "BMP", (300, 300))}
    for name, content in {**dict(zip(GOOD, contents, strict=True)), **bad, "notes.txt": b"no image", ".hidden.jpg": contents[0]}.items():
        file = root / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return root


class Ended(NamedTuple):
    rows: list[dict[str, Any]]
    summary: Predicted

    @property
    def by_id(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in self.rows}

    @property
    def ends(self) -> dict[str, str]:
        return {row["id"]: row["status"] for row in self.rows}


def run_job(spark: SparkSession, place: Path, output: Path, *arguments: str, model: str = "colour") -> Ended:
    job = predict.check(config.load(PredictSettings, ["--run", str(place / model), "--output", str(output), *arguments]))
    summary = predict.predict(spark, job)
    return Ended([row.asDict() for row in spark.read.parquet(str(output)).collect()], summary)


def by_plain_keras(run: Path, files: list[bytes], channels: int = 3) -> np.ndarray:
    """Probabilities of image files by Keras alone, after the function that makes training images."""
    images = [imaging.normalise(content, height=SIZE[0], width=SIZE[1], channels=channels, max_pixels=10**6) for content in files]
    pixels = [tf.io.decode_jpeg(image.image, dct_method="INTEGER_ACCURATE") for image in images if isinstance(image, NormalisedImage)]
    return np.asarray(keras.models.load_model(run / "model.keras").predict(tf.stack(pixels), verbose=0))


def check_rows(rows: list[dict[str, Any]], expected: np.ndarray, top_k: int) -> None:
    """Each row has the class and probabilities of its line of `expected`."""
    for row, chances in zip(rows, expected, strict=True):
        best = np.argsort(-chances)[:top_k]
        assert (row["status"], row["error"], row["class"]) == ("predicted", None, CLASSES[best[0]])
        assert row["top_classes"] == [CLASSES[label] for label in best]
        np.testing.assert_allclose(row["top_probabilities"], chances[best], atol=1e-5)
        assert row["probability"] == row["top_probabilities"][0]


def test_a_folder_of_good_and_bad_files(place: Path, tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_job(spark, place, tmp_path / "out", "--input", str(place / "photos"), "--max-bytes", "200000", "--batch-size", "2")
    bad = {"cut.jpg": "unreadable", "deep/page.png": "not-an-image", "empty.jpeg": "not-an-image", "large.bmp": "too-large"}
    assert len(found.rows) == len(GOOD) + len(bad)
    assert found.ends == {**dict.fromkeys(GOOD, "predicted"), **bad}
    assert all(found.by_id[name]["error"] and found.by_id[name]["class"] is None for name in bad)
    expected = by_plain_keras(place / "colour", [(place / "photos" / name).read_bytes() for name in GOOD])
    check_rows([found.by_id[name] for name in GOOD], expected, top_k=4)
    assert (found.summary.rows, found.summary.predicted) == (9, 5)
    said = predict.describe(found.summary, "out")
    assert "9 rows = 5 predicted + 4 not (2 not-an-image, 1 too-large, 1 unreadable)" in said
    assert found.summary.model_seconds > 0
    assert "predict 9/9, 5 good, 4 failed" in capsys.readouterr().out
    assert [name for name in storage.children(tmp_path.as_uri()) if name != "out"] == []


@pytest.mark.parametrize(("files", "cores", "tasks"), [(60_000, 2, 12), (1_000_000, 2, 100), (2_000, 2, 10), (250, 2, 2), (1, 4, 1)])
def test_tasks_are_few_and_keep_all_cores_at_work(files: int, cores: int, tasks: int) -> None:
    assert predict.file_tasks(files, cores) == tasks


def test_a_file_that_has_gone_is_a_row(tmp_path: Path) -> None:
    prepare = Preparation((*SIZE, 3), 10**6, FetchOptions(max_bytes=10**6), threads=1, per_host=1, source="files")
    (tmp_path / "there.jpg").write_bytes(draw(1, 2, SIZE))
    rows = [{"id": name, "url": (tmp_path / name).as_uri(), "size": size, "status": None, "error": None} for name, size in (("there.jpg", 500), ("gone.jpg", 500), ("large.jpg", 10**7))]
    found = {row.id: row for row in prepare(rows)}
    assert {name: row.status for name, row in found.items()} == {"there.jpg": None, "gone.jpg": "unreachable", "large.jpg": "too-large"}
    assert "gone.jpg does not exist" in str(found["gone.jpg"].error)


def test_parquet_of_bytes_by_a_grey_model(place: Path, tmp_path: Path, spark: SparkSession) -> None:
    files = [draw(number, number % 4, (20, 20)) for number in range(70)]
    images = pa.array([{"bytes": content} for content in [*files, None, b"nothing"]], pa.struct([("bytes", pa.binary())]))
    pq.write_table(pa.table({"img": images}), tmp_path / "some.parquet", row_group_size=50)
    found = run_job(spark, place, tmp_path / "out", "--input", str(tmp_path / "some.parquet"), "--top-k", "2", model="grey")
    assert len(found.rows) == 72
    check_rows([found.by_id[f"some.parquet#{number}"] for number in range(70)], by_plain_keras(place / "grey", files, channels=1), top_k=2)
    assert [found.ends[f"some.parquet#{number}"] for number in (70, 71)] == ["missing-image", "not-an-image"]


def test_a_table_of_urls_keeps_every_row(place: Path, tmp_path: Path, spark: SparkSession) -> None:
    image = draw(1, 2, (30, 20))
    with scripted({"/good.jpg": lambda _: iter([response(200, image)]), "/gone.jpg": lambda _: iter([response(404)])}) as server:
        lines = ["title,cover", f"one,{server.url}/good.jpg", f"again,{server.url}/good.jpg", "none, ", f"gone,{server.url}/gone.jpg", "bad,ftp://x/y.jpg", f"inside,{server.url.replace('127.0.0.1', 'localhost')}/good.jpg", "too,many,cells"]
        (tmp_path / "books.csv").write_text("\n".join(lines) + "\n")
        arguments = ("--input", str(tmp_path / "books.csv"), "--url-column", "cover", "--top-k", "1", "--mirror", f"{server.url}={server.url}")
        found = run_job(spark, place, tmp_path / "out", *arguments)
        named = run_job(spark, place, tmp_path / "named", *arguments, "--id-column", "title")
    assert named.ends == {"one": "predicted", "again": "predicted", "none": "missing-image", "gone": "http-error", "bad": "bad-url", "inside": "forbidden-address", "too": "malformed-row"}
    assert sorted(row["status"] for row in found.rows) == sorted(named.ends.values())
    ids = {row["id"].removeprefix(server.url): row["status"] for row in found.rows if "localhost" not in row["id"]}
    assert ids == {"/gone.jpg": "http-error", "/good.jpg": "predicted", "books.csv#2": "missing-image", "books.csv#6": "malformed-row", "ftp://x/y.jpg": "bad-url"}
    check_rows([named.by_id["one"], named.by_id["again"]], by_plain_keras(place / "colour", [image, image]), top_k=1)


def test_a_damaged_table_is_said_to_be_one(place: Path, tmp_path: Path, spark: SparkSession) -> None:
    (tmp_path / "books.csv").write_text('title,cover\n"never closed' + "x" * 1_200_000)
    with pytest.raises(DataError, match=r"books\.csv cannot be read as CSV"):
        run_job(spark, place, tmp_path / "out", "--input", str(tmp_path / "books.csv"), "--url-column", "cover")


def test_a_data_frame_of_bytes_keeps_rows_and_columns(place: Path, spark: SparkSession) -> None:
    files = [draw(number, number % 4, (20, 20)) for number in range(70)]
    bad = {70: (None, "missing-image"), 71: (b"nothing", "not-an-image"), 72: (draw(1, 1, (300, 300)), "too-large")}
    contents = [*files, *(content for content, _ in bad.values())]
    table = spark.createDataFrame([(number, content and bytearray(content)) for number, content in enumerate(contents)], "number int, img binary")
    rows = slotwise.predict(table.coalesce(1), place / "colour", top_k=2, max_bytes=10_000, batch_size=16).collect()
    assert [row["number"] for row in rows] == list(range(73))
    check_rows([row.asDict() for row in rows[:70]], by_plain_keras(place / "colour", files), top_k=2)
    assert {row["number"]: row["status"] for row in rows[70:]} == {number: status for number, (_, status) in bad.items()}
    assert all(row["error"] and row["class"] is None and row["top_classes"] is None for row in rows[70:])
    with pytest.raises(UsageError, match="columns of the predictions' names already"):
        slotwise.predict(table.withColumnRenamed("number", "Class"), place / "colour")
    with pytest.raises(UsageError, match=r"no column of images 'none'.*image_column"):
        slotwise.predict(table, place / "colour", image_column="none")


def test_a_data_frame_of_urls_keeps_its_order(place: Path, spark: SparkSession) -> None:
    image = draw(1, 2, (30, 20))
    with scripted({"/good.jpg": lambda _: iter([response(200, image)]), "/gone.jpg": lambda _: iter([response(404)])}) as server:
        urls = [f"{server.url}/gone.jpg", f"{server.url}/good.jpg", None, "ftp://x/y.jpg", f"{server.url}/good.jpg"]
        table = spark.createDataFrame([(url,) for url in urls], "cover string")
        rows = slotwise.predict(table.coalesce(1), place / "colour", url_column="cover", top_k=1, allow_addresses=["127.0.0.0/8"]).collect()
    assert [row["cover"] for row in rows] == urls
    assert [row["status"] for row in rows] == ["http-error", "predicted", "missing-image", "bad-url", "predicted"]
    check_rows([rows[1].asDict(), rows[4].asDict()], by_plain_keras(place / "colour", [image, image]), top_k=1)


def test_a_spark_ml_model_of_numbers_predicts_numbers(place: Path, tmp_path: Path, spark: SparkSession) -> None:
    run = write_run(str(tmp_path / "run"), run_record(class_names=["10", "2", "2.5", "7"]))
    shutil.copy(place / "colour" / "model.keras", tmp_path / "run")
    model = ImageClassifierModel(model_file.read(run)).setParams(classValues=[10, 2, 2.5, 7], imageCol="content")
    files = [draw(number, number % 4, SIZE) for number in range(6)]
    frame = spark.createDataFrame([(number, bytearray(content)) for number, content in enumerate([*files, b"nothing"])], "number int, content binary")
    rows = model.transform(frame.coalesce(1)).collect()
    assert (rows[0].__fields__, model.labels) == (["number", "content", "prediction", "probability", "status"], ["2", "2.5", "7", "10"])
    for row, chances in zip(rows, by_plain_keras(place / "colour", files), strict=False):
        np.testing.assert_allclose(row["probability"].toArray(), chances[[1, 2, 3, 0]], atol=1e-5)
        assert (row["prediction"], row["status"]) == ([10.0, 2.0, 2.5, 7.0][int(chances.argmax())], "predicted")
    assert (rows[6]["prediction"], rows[6]["probability"], rows[6]["status"]) == (None, None, "not-an-image")


def test_predictions_stay_until_others_are_whole(place: Path, tmp_path: Path, spark: SparkSession) -> None:
    """A model whose weights do not fit its description is noticed by the executors only."""
    first = run_job(spark, place, tmp_path / "out", "--input", str(place / "photos" / "a.JPG"))
    assert first.ends == {"a.JPG": "predicted"}
    write_run(str(tmp_path / "odd"), run_record(model="simple", class_names=CLASSES))
    files = (zipfile.ZipFile(place / name / "model.keras") for name in ("colour", "grey"))
    with next(files) as good, next(files) as other, zipfile.ZipFile(tmp_path / "odd" / "model.keras", "w") as odd:
        for name in good.namelist():
            odd.writestr(name, (other if name.endswith(".h5") else good).read(name))
    with pytest.raises(DataError, match=r"The executors cannot predict: .*The model cannot be loaded: "):
        run_job(spark, tmp_path, tmp_path / "out", "--input", str(place / "photos"), "--overwrite", model="odd")
    assert sorted(storage.children(tmp_path.as_uri())) == ["odd", "out"]
    assert [row["id"] for row in spark.read.parquet(str(tmp_path / "out")).collect()] == ["a.JPG"]


@pytest.fixture(scope="module")
def bench(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The good run and folder of `place`, with runs and inputs that are wrong in one way each."""
    root = tmp_path_factory.mktemp("bench")
    shutil.copytree(place / "colour", root / "run")
    shutil.copytree(place / "photos", root / "photos")
    for name in ("no-model", "damaged", "others"):
        write_run(str(root / name), run_record(class_names=CLASSES if name != "others" else CLASSES[:3]))
    content = bytearray((root / "run" / "model.keras").read_bytes())
    shutil.copy(root / "run" / "model.keras", root / "others")
    content[len(content) // 2] ^= 1
    (root / "damaged" / "model.keras").write_bytes(content)
    (root / "lambda").mkdir()
    code = keras.Sequential([keras.Input((*SIZE, 3)), keras.layers.Lambda(lambda x: x), keras.layers.Flatten(), keras.layers.Dense(4, activation="softmax")])
    write_model(write_run(str(root / "lambda"), run_record(class_names=CLASSES)), code)
    (root / "nothing" / "in").mkdir(parents=True)
    (root / "nothing" / "in" / "table.xlsx").write_bytes(b"x")
    (root / "mixed").mkdir()
    for name in ("a.png", "b.csv"):
        (root / "mixed" / name).touch()
    (root / "there").mkdir()
    (root / "there" / "_SUCCESS").touch()
    return root


REFUSALS = {
    "no run": ("--input photos", UsageError, ("--run is missing",)),
    "no input": ("--run run", UsageError, ("--input is missing",)),
    "run without a model": ("--run no-model --input photos", UsageError, ("The run has no model", "/no-model", "run.json and model.keras")),
    "run that is not there": ("--run absent --input photos", UsageError, ("The run has no model", "/absent")),
    "damaged model": ("--run damaged --input photos", DataError, ("damaged/model.keras is damaged",)),
    "model of other classes": ("--run others --input photos", UsageError, ("4 outputs, 3 classes",)),
    "model with Python code": ("--run lambda --input photos", UsageError, ("Python code", "Lambda")),
    "input that is not there": ("--run run --input absent", UsageError, ("The input does not exist", "/absent")),
    "nothing to read": ("--run run --input nothing", UsageError, ("nothing in the input that can be classified", "/nothing", ".jpg", ".parquet")),
    "ending that is not known": ("--run run --input nothing/in/table.xlsx", UsageError, ("nothing in the input", "table.xlsx")),
    "several kinds": ("--run run --input mixed", UsageError, ("images and csv", "--kind images or csv")),
    "another kind": ("--run run --input photos --kind parquet", UsageError, ("holds images", "--kind images")),
    "too many top classes": ("--run run --input photos --top-k 5", UsageError, ("4 classes", "--top-k 5", "1 to 4")),
    "no top class": ("--run run --input photos --top-k 0", UsageError, ("--top-k", "Received: '0'")),
    "predictions are there": ("--run run --input photos --output there", UsageError, ("predictions already", "/there", "--overwrite")),
    "something else is there": ("--run run --input photos --output nothing --overwrite", UsageError, ("something else than predictions", "/nothing")),
    "output in the place of the input": ("--run run --input photos --output photos --overwrite", UsageError, ("take the place of their input",)),
}


@pytest.mark.parametrize(("arguments", "error", "says"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refused_before_spark(arguments: str, error: type[Exception], says: tuple[str, ...], bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench)
    with pytest.raises(error) as refused:
        predict.check(config.load(PredictSettings, arguments.split()))
    for part in says:
        assert part in str(refused.value)


def test_a_refusal_ends_the_job_with_2_and_no_java(bench: Path) -> None:
    done = without_java(PREDICT, "--run", "no-model", "--input", "photos", cwd=bench)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: The run has no model")
