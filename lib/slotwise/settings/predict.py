"""Settings of the predict job, and of predicting a DataFrame."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from slotwise import storage
from slotwise.config import Settings, option
from slotwise.errors import UsageError
from slotwise.settings.fetch import FetchSettings
from slotwise.settings.types import Uri

InputKind = Literal["images", "parquet", "csv"]


class ModelSettings(Settings):
    """Which model to use, and how."""

    run: Uri | None = option(None, "the finished run whose model is used; image size and colours are those that it was trained on", accepted="the URI of a finished run", metavar="URI")
    top_k: int | None = option(None, "how many of the most probable classes to keep (default: 5, or all where there are fewer)", accepted="a whole number from 1 to the number of classes", metavar="K", ge=1)
    batch_size: int = option(64, "images that the model takes at a time", accepted="a whole number from 1", metavar="B", ge=1)

    @model_validator(mode="after")
    def _check_run(self) -> ModelSettings:
        if self.run is None:
            raise UsageError("--run is missing", received="none", accepted="--run URI")
        return self


class FrameSettings(FetchSettings, ModelSettings):
    """Which model to put to a DataFrame's images."""

    image_column: str | None = option(None, "column of image files as bytes, or of structs with bytes (default: image or img, else URLs in url_column)", accepted="a column of bytes", metavar="NAME")


class PredictSettings(FetchSettings, ModelSettings):
    """Which model to put to which images."""

    job: ClassVar[str] = "predict"
    sections: ClassVar[tuple[str, ...]] = ("predict",)
    summary: ClassVar[str] = "Classify a folder of images, a Parquet or a table of URLs with a run's model, on the executors; one row of Parquet for each image."
    examples: ClassVar[str] = """\
  spark-submit jobs/predict.py --run workspace/runs/demo-covers-2slot-1 --input photos
  spark-submit jobs/predict.py --run workspace/runs/demo-covers-2slot-1 --input books.csv.gz --url-column image --top-k 3
  spark-submit --master spark://host:7077 jobs/predict.py --run hdfs://host:9000/runs/demo --input hdfs://host:9000/images.parquet --output hdfs://host:9000/predictions"""

    input: Uri | None = option(None, "a folder of images at any depth, Parquet with image bytes or URLs, or CSV with URLs", accepted="a path or URI that exists", metavar="URI")
    output: Uri = option("workspace/predictions", "where the predictions go, as a Parquet directory", accepted="a path or URI", metavar="URI")
    kind: InputKind | None = option(None, "what the input is (default: told from the endings of its files)", accepted="images, parquet or csv", metavar="NAME")
    id_column: str | None = option(None, "column of Parquet or CSV that names a row in the output (default: the URL; of images in Parquet `id` or `path`, else FILE#ROW)", accepted="a column of the input", metavar="NAME")
    overwrite: bool = option(False, "replace predictions that are there already", accepted="true or false")

    @model_validator(mode="after")
    def _check(self) -> PredictSettings:
        if self.input is None:
            raise UsageError("--input is missing", received="none", accepted="--input URI")
        if storage.join(str(self.input), "").startswith(storage.join(self.output, "")):
            raise UsageError("The predictions would take the place of their input", received=f"--input {self.input} --output {self.output}", accepted="another --output")
        return self
