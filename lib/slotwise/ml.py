"""slotwise as a stage of Spark ML: an estimator of image classifiers and the model it fits, to be used and saved in a `Pipeline`."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from pyspark.ml import Estimator, Model
from pyspark.ml.functions import array_to_vector
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasLabelCol, HasPredictionCol, HasProbabilityCol
from pyspark.ml.util import (
    DefaultParamsReadable,
    DefaultParamsReader,
    DefaultParamsWritable,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import NumericType, StringType

from slotwise import models, storage
from slotwise.config import Settings, did_you_mean, from_arguments, said_in_python
from slotwise.contracts.paths import RunPaths
from slotwise.contracts.run import RunRecord
from slotwise.errors import UsageError
from slotwise.inference import model_file
from slotwise.inference.model_file import ModelFile
from slotwise.pipelines import frame, prepare, train
from slotwise.settings.predict import FrameSettings
from slotwise.settings.prepare import SOURCE_DEFAULTS, PrepareSettings
from slotwise.settings.train import TrainSettings
from slotwise.settings.training import TrainingSettings
from slotwise.sources.rows import bytes_column

_READ = ("max_bytes", "max_pixels")
_PREPARE = (*_READ, "image_size", "balance", "per_class", "logical_shards", "split", "seed")
_TRAIN = (*TrainingSettings.model_fields, "slots", "min_slots", "engine", "mlflow_experiment")
_ANSWER = "_slotwise_answer"
_ID_DIGITS = 32


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


class _Images(HasPredictionCol, HasProbabilityCol):
    """What estimator and model have in common: the columns, and how large an image may be."""

    imageCol = Param(Params._dummy(), "imageCol", "column of image files as bytes, or of structs with bytes", TypeConverters.toString)
    statusCol = Param(Params._dummy(), "statusCol", "column that says `predicted`, or why an image has no prediction", TypeConverters.toString)

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(imageCol="image", statusCol="status")

    def setParams(self, **params: Any) -> Any:
        """Sets params by name.

        Raises:
            UsageError: there is no such param.
        """
        for name, value in params.items():
            if not self.hasParam(name):
                known = [param.name for param in self.params]
                raise UsageError(f"{type(self).__name__} has no param '{name}'{did_you_mean(name, known)}", received=f"{name}={value!r}", accepted=", ".join(known))
        return self._set(**params)

    def _settings(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: self.getOrDefault(_camel(name)) for name in names if self.isDefined(_camel(name))}

    def _images(self, dataset: DataFrame) -> Column:
        name = self.getOrDefault("imageCol")
        image = bytes_column(dataset, (name,))
        if image is None:
            raise UsageError(f"The DataFrame has no column '{name}' of bytes", received=dataset.schema.simpleString(), accepted="imageCol, a column of image files as bytes")
        return image


def _add_params(owner: type[Params], settings: type[Settings], names: Iterable[str]) -> None:
    """Makes a param of each of these settings, with the text of its flag; the settings check the value when it is used."""
    for name in names:
        setattr(owner, _camel(name), Param(Params._dummy(), _camel(name), str(settings.model_fields[name].description), TypeConverters.identity))


class ImageClassifier(Estimator["ImageClassifierModel"], _Images, HasLabelCol, DefaultParamsReadable["ImageClassifier"], DefaultParamsWritable):  # type: ignore[misc]
    """Trains a classifier on a DataFrame's images, across the slots of its session.

    Params are `workDir`, the columns, and the settings of prepare and train in Spark ML's spelling (`imageSize`, `slots`, `epochs`,
    `batchSize`, `learningRate`, …; `explainParams()` tells all). `fit` divides the rows by `split` into train, validation and test; the
    dataset and the run stay in a directory of their own below `workDir`.

    The label is text, or a number; then a prediction is that number. Rows without an image or a label, and of images that are there
    twice all but one, are set aside, as `fit` prints.

    Raises:
        UsageError: there is no such param.
    """

    workDir = Param(Params._dummy(), "workDir", "a directory of storage that all executors reach, as a path or URI", TypeConverters.toString)

    def __init__(self, **params: Any) -> None:
        super().__init__()
        _, _, image_size, balance = SOURCE_DEFAULTS["folder"]
        self._setDefault(imageSize=list(image_size), balance=balance)
        self.setParams(**params)

    def _fit(self, dataset: DataFrame) -> ImageClassifierModel:
        with said_in_python(PrepareSettings, TrainSettings, spell=_camel):
            if not self.isDefined("workDir"):
                raise UsageError("workDir is missing", received="none", accepted="a directory of storage that all executors reach")
            place = storage.join(storage.normalise(self.getOrDefault("workDir")), f"{self.uid}-{uuid.uuid4().hex[:8]}")
            images, data, run = (storage.join(place, name) for name in ("images", "dataset", "run"))
            # The layout of CIFAR-10 in Parquet, which has all that is needed here; names of classes are in it.
            preparation = from_arguments(PrepareSettings, {"source": "cifar10", "input": images, "dataset": data, **self._settings(_PREPARE)})
            training = from_arguments(TrainSettings, {"dataset": data, "run": run, **self._settings(_TRAIN)})
            train.check_engine(training.engine, training)
            if training.model:
                models.check(training.model, training.model_parameters)
            rows, is_number = self._rows(dataset)
            try:
                # A DataFrame may come in another order each time; what is written down stays as it is, and so does who is in which split.
                rows.write.parquet(storage.for_spark(images))
                prepare.run(preparation, dataset.sparkSession)
            finally:
                storage.delete(images)
            record = train.run(training, dataset.sparkSession)
        model = ImageClassifierModel(model_file.read(run))
        model.setParams(classValues=[float(name) if is_number else float(place) for place, name in enumerate(record.class_names)])
        return self._copyValues(model)

    def _rows(self, dataset: DataFrame) -> tuple[DataFrame, bool]:
        """The images with the name of their class and an id that is theirs in every DataFrame, and whether labels are numbers."""
        image, name = self._images(dataset), self.getOrDefault("labelCol")
        kind = dataset.schema[name].dataType if name in dataset.columns else None
        if not isinstance(kind, (StringType, NumericType)):
            raise UsageError(f"The DataFrame has no column '{name}' of labels", received=dataset.schema.simpleString(), accepted="labelCol, a column of text or numbers")
        is_number = isinstance(kind, NumericType)
        label = _number_as_text(F.col(name)) if is_number else F.col(name)
        return dataset.select(image.alias("image"), label.alias("label_name"), F.substring(F.sha2(image, 256), 1, _ID_DIGITS).alias("path")), is_number


def _number_as_text(label: Column) -> Column:
    """`3` for 3 and 3.0, `2.5` for 2.5, null for NaN."""
    number = label.cast("double")
    whole = F.when(number == F.floor(number), number.cast("long").cast("string"))
    return F.when(~F.isnan(number), F.coalesce(whole, number.cast("string")))


class ImageClassifierModel(Model, _Images, MLReadable["ImageClassifierModel"], MLWritable):
    """A trained classifier: adds `predictionCol` (double), `probabilityCol` (vector, in the order of `labels`) and `statusCol`.

    A prediction is the number that was the label, or else the place of its text in `labels`, which `IndexToString` turns back. A bad
    image has nulls there, and a status. Only the images go through Python, and nothing is computed before it is asked for.

    Args:
        file: the model of a finished run.
    """

    classValues = Param(Params._dummy(), "classValues", "the prediction that stands for each output of the model", TypeConverters.toListFloat)

    def __init__(self, file: ModelFile) -> None:
        super().__init__()
        self._file = file

    @property
    def record(self) -> RunRecord:
        """The run that trained it: test accuracy, epochs, settings."""
        return self._file.record

    @property
    def labels(self) -> list[str]:
        """The classes in the order of probability vectors: numbers by value, text by letters."""
        return [name for _, name in sorted(zip(self.getOrDefault("classValues"), self.record.class_names, strict=True))]

    @property
    def numClasses(self) -> int:
        return len(self.record.class_names)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        added = [self.getOrDefault(name) for name in ("predictionCol", "probabilityCol", "statusCol")]
        if taken := {name.lower() for name in dataset.columns} & {name.lower() for name in added}:
            raise UsageError("The DataFrame has columns of the predictions' names already", received=", ".join(sorted(taken)), accepted="other names in predictionCol, probabilityCol and statusCol")
        with said_in_python(FrameSettings, spell=_camel):
            settings = from_arguments(FrameSettings, {"run": self._file.run, **self._settings(_READ)})
        answer = frame.answers(dataset, self._images(dataset), self._file, settings, top_k=self.numClasses, source="bytes")
        value = F.map_from_arrays(_array(self.record.class_names), _array(self.getOrDefault("classValues")))
        chance = F.map_from_arrays(f"{_ANSWER}.top_classes", f"{_ANSWER}.top_probabilities")
        chances = F.transform(_array(self.labels), lambda label: F.coalesce(chance[label], F.lit(0.0)))
        has_class = F.col(f"{_ANSWER}.class").isNotNull()
        columns = (value[F.col(f"{_ANSWER}.class")], F.when(has_class, array_to_vector(chances)), F.col(f"{_ANSWER}.status"))
        return dataset.withColumn(_ANSWER, answer).select("*", *(column.alias(name) for column, name in zip(columns, added, strict=True))).drop(_ANSWER)

    def write(self) -> MLWriter:
        return _ModelWriter(self)

    @classmethod
    def read(cls) -> MLReader[ImageClassifierModel]:
        return _ModelReader()


_add_params(ImageClassifier, PrepareSettings, _PREPARE)
_add_params(ImageClassifier, TrainSettings, _TRAIN)
_add_params(ImageClassifierModel, FrameSettings, _READ)


class _ModelWriter(MLWriter):
    """Spark ML's metadata, and beside it the model as a run of its own: it outlives the one that it came from."""

    def __init__(self, model: ImageClassifierModel) -> None:
        super().__init__()
        self._model = model

    def saveImpl(self, path: str) -> None:
        DefaultParamsWriter.saveMetadata(self._model, path, self.sparkSession)
        run = RunPaths(_run_in(self.sparkSession, path))
        storage.write_bytes(run.model, self._model._file.content)
        storage.write_text(run.record, self._model.record.model_dump_json(indent=2) + "\n")


class _ModelReader(MLReader[ImageClassifierModel]):
    def load(self, path: str) -> ImageClassifierModel:
        metadata = DefaultParamsReader.loadMetadata(path, self.sparkSession)
        model = ImageClassifierModel(model_file.read(_run_in(self.sparkSession, path)))
        model._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(model, metadata)
        return model


def _run_in(spark: SparkSession, path: str) -> str:
    """URI of the run in a saved model; a path without a scheme is where Spark puts it, on its default file system."""
    jvm: Any = spark.sparkContext._jvm
    place = jvm.org.apache.hadoop.fs.Path(path)
    uri = str(place.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf()).makeQualified(place).toString())
    return storage.join(storage.normalise(uri.removeprefix("file:")), "run")


def _array(values: Iterable[Any]) -> Column:
    return F.array(*map(F.lit, values))
