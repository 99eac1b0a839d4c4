"""What has to be true of a cluster before training starts on it, each refusal with the setting to change."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from py4j.protocol import Py4JJavaError
from pyspark import SparkConf
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from slotwise import storage
from slotwise.cluster import placement
from slotwise.cluster.console import failed_tasks_unsaid, reason
from slotwise.contracts.paths import DatasetPaths
from slotwise.errors import DataError, UsageError
from slotwise.session import phase
from slotwise.settings.train import TrainSettings
from slotwise.settings.training import Engine
from slotwise.versions import installed_versions

DYNAMIC_ALLOCATION = "spark.dynamicAllocation.enabled"
_EXECUTOR_WAIT_SECONDS = 30.0
_SETTLED_SECONDS = 3.0
_TASKS_PER_SLOT = 2
SAME_ENVIRONMENT = "Give executors and driver the same environment (see conf/ and docker/)"
# https://spark.apache.org/docs/latest/security.html
_PROTECTION = ("spark.authenticate", "spark.network.crypto.enabled", "spark.ssl.enabled")


def check_conf(conf: SparkConf, settings: TrainSettings) -> None:
    """Refuses a Spark configuration that training cannot work under, before Spark starts.

    Raises:
        UsageError: the first of `conf_faults`.
    """
    for fault in conf_faults(conf, settings):
        raise fault


def conf_faults(conf: SparkConf, settings: TrainSettings) -> Iterator[UsageError]:
    """What makes a Spark configuration unfit for training: dynamic allocation, encryption that gradients would not have, a task size that
    contradicts the flags, GPUs without a resource.
    """
    if is_true(conf, DYNAMIC_ALLOCATION):
        yield UsageError(
            "Barrier stages do not work with dynamic allocation",
            received=f"{DYNAMIC_ALLOCATION}=true",
            accepted=f"--conf {DYNAMIC_ALLOCATION}=false and a fixed number of executors",
        )
    protected = [key for key in _PROTECTION if is_true(conf, key)]
    if protected and settings.slots > 1 and not settings.unencrypted_gradients:
        yield UsageError(
            "The channel between slots, gRPC in TensorFlow and TCP in PyTorch, has neither encryption nor authentication, which this cluster asks for",
            received=f"{protected[0]}=true and {settings.slots} slots",
            accepted="--unencrypted-gradients where the network between executors is trusted, --slots 1, or a session without it",
        )
    task_cpus = conf.get("spark.task.cpus")
    if task_cpus is not None and task_cpus.strip() != str(settings.cores_per_slot):
        yield UsageError("A slot is one Spark task", received=f"spark.task.cpus={task_cpus} and --cores-per-slot {settings.cores_per_slot}", accepted="the same number in both")
    if settings.use_gpu and conf.get("spark.task.resource.gpu.amount") is None:
        yield UsageError("--use-gpu needs Spark's GPU scheduling", received="no spark.task.resource.gpu.amount", accepted="--conf spark.task.resource.gpu.amount=1 on executors with GPUs")


def check_slots(spark: SparkSession, slots: int, cores_per_slot: int) -> None:
    """Waits for executors to arrive, then refuses more slots than the cluster has.

    Raises:
        UsageError: there are too few.
    """
    available = available_slots(spark, slots)
    if available >= slots:
        return
    if _is_local(spark):
        change = f"--slots up to {available}, or spark-submit --master 'local[{slots * cores_per_slot}]'"
    else:
        change = f"--slots up to {available}, more workers, or more cores for this application (spark.cores.max, spark.executor.instances, spark.executor.cores)"
    executors = placement.executors(spark)
    shape = ", ".join(f"{executor.id} with {executor.cores} cores" for executor in executors) or "no executors"
    raise UsageError(
        f"The cluster has {available} slot{'' if available == 1 else 's'} of {cores_per_slot} core{'s' if cores_per_slot > 1 else ''} ({shape})",
        received=f"--slots {slots}",
        accepted=change,
    )


def available_slots(spark: SparkSession, wanted: int) -> int:
    """The slots that the cluster offers; on a cluster, waits a while for executors until there are as many as wanted."""
    deadline = time.monotonic() + (0 if _is_local(spark) else _EXECUTOR_WAIT_SECONDS)
    while True:
        available = sum(executor.task_slots for executor in placement.executors(spark))
        if available >= wanted or time.monotonic() >= deadline:
            return available
        time.sleep(0.2)


def all_slots(spark: SparkSession) -> int:
    """All slots that the cluster offers; on a cluster, waits until there is one and no more have come for a while."""
    found, since = available_slots(spark, 1), time.monotonic()
    while found and not _is_local(spark) and time.monotonic() - since < _SETTLED_SECONDS:
        time.sleep(0.2)
        if (now := available_slots(spark, 1)) != found:
            found, since = now, time.monotonic()
    return found


def check_executors(spark: SparkSession, slots: int, dataset: str, engine: Engine) -> None:
    """Sees that executors have the driver's versions, of PyTorch where it is to train, and can read the dataset.

    Raises:
        DataError: they have not, or cannot.
    """
    expected = versions_needed(engine)
    tasks = slots * _TASKS_PER_SLOT

    def look(_: int) -> tuple[dict[str, str], bool]:
        return installed_versions(), storage.exists(DatasetPaths(dataset).record)

    try:
        with phase(spark, "check executors"), failed_tasks_unsaid(spark):
            seen = spark.sparkContext.parallelize(range(tasks), tasks).map(look).collect()
    except (Py4JJavaError, PySparkException) as error:
        raise cannot_run(error) from error
    for versions, readable in seen:
        if name := next(iter(different(expected, versions)), None):
            raise DataError(f"An executor has {name} {versions.get(name)}, the driver has {expected[name]}. {SAME_ENVIRONMENT}")
        if not readable:
            raise DataError(f"An executor cannot read {DatasetPaths(dataset).record}. On a cluster the dataset has to be on storage that all executors reach")


def versions_needed(engine: Engine) -> dict[str, str]:
    """The driver's versions that executors need to have: an environment that is shipped need not hold PyTorch for TensorFlow, and
    whoever trains resamples nothing, for which another processor may have another library.
    """
    others = {"cykooz-resizer"} if engine == "torch" else {"cykooz-resizer", "torch"}
    return {name: version for name, version in installed_versions().items() if name not in others}


def different(expected: Mapping[str, str], versions: Mapping[str, str]) -> list[str]:
    """The packages of which an executor has another version than the driver."""
    return [name for name in expected if versions.get(name) != expected[name]]


def cannot_run(error: Exception) -> DataError:
    """What to say where no task could even look around."""
    return DataError(f"The executors cannot run slotwise ({reason(error)}). {SAME_ENVIRONMENT}")


def is_true(conf: SparkConf, key: str) -> bool:
    """Whether a setting of Spark is on."""
    return str(conf.get(key, "false")).strip().lower() == "true"  # as Spark reads it


def _is_local(spark: SparkSession) -> bool:
    return str(spark.sparkContext.master).startswith("local")
