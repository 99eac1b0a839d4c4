"""Settings of the export job."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from slotwise.config import Settings, option
from slotwise.errors import UsageError
from slotwise.settings.types import CommaSeparated, Uri

FormatName = Literal["saved_model", "tflite", "tflite_float16", "tflite_dynamic", "tflite_int8", "onnx", "torch", "torch_dynamic", "torch_static"]


class ExportSettings(Settings):
    """Which run's model to convert, into what."""

    job: ClassVar[str] = "export"
    sections: ClassVar[tuple[str, ...]] = ("export",)
    summary: ClassVar[str] = "Convert a run's model to SavedModel, TFLite, ONNX and TorchScript, quantized and not, and measure each against the original."
    examples: ClassVar[str] = """\
  spark-submit jobs/export.py --run workspace/runs/demo-covers-2slot-1
  spark-submit jobs/export.py --run workspace/runs/demo-covers-2slot-1 --formats tflite,tflite_int8 --calibration-images 500 --output workspace/small
  spark-submit --master spark://host:7077 jobs/export.py --run hdfs://host:9000/runs/demo --overwrite"""

    run: Uri | None = option(None, "the finished run whose model is converted", accepted="the URI of a finished run", metavar="URI")
    dataset: Uri | None = option(None, "a dataset of the same classes, to calibrate and to measure on (default: the run's own)", accepted="a prepared dataset", metavar="URI")
    formats: Annotated[list[FormatName], CommaSeparated] = option(
        [], "what to convert to (default: all whose packages are installed)", accepted="saved_model, tflite, tflite_float16, tflite_dynamic, tflite_int8, onnx, torch, torch_dynamic, torch_static, with commas", metavar="NAME,…"
    )  # fmt: skip
    output: Uri | None = option(None, "where the files and their report go (default: RUN/export)", accepted="a path or URI", metavar="URI")
    calibration_images: int = option(200, "validation images that show a format in whole numbers the range of each value", accepted="a whole number from 1", metavar="N", ge=1)
    batch_size: int = option(64, "images that a model takes at a time where accuracy is measured", accepted="a whole number from 1", metavar="B", ge=1)
    timing_rounds: int = option(15, "times that the models are timed in turn", accepted="a whole number from 1", metavar="R", ge=1)
    local_cache: str | None = option(None, "directory on each executor's machine that keeps shards (default: the system's temporary directory)", accepted="a path", metavar="DIR")
    overwrite: bool = option(False, "replace an export that is there already", accepted="true or false")

    @model_validator(mode="after")
    def _check(self) -> ExportSettings:
        if self.run is None:
            raise UsageError("--run is missing", received="none", accepted="--run URI")
        if len(set(self.formats)) < len(self.formats):
            raise UsageError("A format is given more than once", received=", ".join(self.formats), accepted="each format once")
        return self
