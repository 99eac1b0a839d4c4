"""Looks at a cluster before the first run on it: every check is made, whatever the others found."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timezone

from pyspark import SparkConf
from pyspark.sql import SparkSession

from slotwise import session, storage
from slotwise.cluster import placement, preflight
from slotwise.cluster.doctor import judge, places
from slotwise.cluster.doctor.clock import ClockServer
from slotwise.cluster.doctor.probe import Probe, Seen, look
from slotwise.contracts.doctor import VERSION, Check, DoctorRecord
from slotwise.errors import DataError, UsageError
from slotwise.report.wording import count
from slotwise.settings.doctor import DoctorSettings
from slotwise.settings.train import TrainSettings

_WIDTH = 150
# Spark's own defaults of what an executor may take beside its heap.
_OVERHEAD_SHARE, _LEAST_OVERHEAD_MB = 0.1, 384


def run(settings: DoctorSettings, command: str) -> DoctorRecord:
    """Makes all checks in a session of its own, and writes them to `--output` if that is given.

    Args:
        command: what the user typed.

    Raises:
        DataError: Spark does not start.
    """
    conf = session.effective_conf()
    checks = [*configuration(conf, settings)]
    # With what was just said to be wrong the rest could not be looked at.
    conf.set(preflight.DYNAMIC_ALLOCATION, "false")
    conf.set("spark.task.cpus", str(settings.cores_per_slot))
    with session.start("slotwise doctor", conf) as spark:
        master = str(spark.sparkContext.master)
        checks += examine(spark, settings)
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    record = DoctorRecord(version=VERSION, created=created, command=command, master=master, checks=checks)
    if settings.output is not None:
        storage.write_text(settings.output, record.model_dump_json(indent=2) + "\n")
    return record


def configuration(conf: SparkConf, settings: DoctorSettings) -> Iterator[Check]:
    """What training would refuse of Spark's settings, before anything is started."""
    shared = {name: getattr(settings, name) for name in ("slots", "cores_per_slot", "use_gpu", "unencrypted_gradients")}
    faults = list(preflight.conf_faults(conf, TrainSettings(**shared)))
    for fault in faults:
        yield Check(name="Spark's settings", state="fail", found=f"{fault.what}: {fault.received}", change=fault.accepted)
    if not faults:
        yield Check(name="Spark's settings", state="ok", found="no dynamic allocation, and nothing else that training refuses")


def examine(spark: SparkSession, settings: DoctorSettings) -> list[Check]:
    """The checks that need executors."""
    checks = [_slots(spark, settings)]
    tasks = sum(executor.task_slots for executor in placement.executors(spark))
    if not tasks:
        return checks
    with ExitStack() as stack:
        trials, refusals = _open_trials(settings.places, stack)
        conf = spark.sparkContext.getConf()
        host = str(conf.get("spark.driver.host"))
        server = stack.enter_context(ClockServer(str(conf.get("spark.driver.bindAddress", host))))
        try:
            seen = look(spark, tasks, Probe((host, server.port), trials, settings.use_gpu))
        except DataError as error:
            return [*checks, Check(name="executors", state="fail", found=str(error), change=preflight.SAME_ENVIRONMENT)]
    return [*checks, *_judged(spark, settings, seen), *_places(settings, refusals, seen)]


def _slots(spark: SparkSession, settings: DoctorSettings) -> Check:
    try:
        preflight.check_slots(spark, settings.slots, settings.cores_per_slot)
    except UsageError as error:
        return Check(name="slots", state="fail", found=f"{error.what}; {error.received}", change=error.accepted)
    executors = placement.executors(spark)
    offered = sum(executor.task_slots for executor in executors)
    return Check(name="slots", state="ok", found=f"{offered} of {count(settings.cores_per_slot, 'core')} on {count(len(executors), 'executor')}")


def _open_trials(wanted: list[str], stack: ExitStack) -> tuple[dict[str, str], dict[str, str]]:
    """A trial's directory for each place that the driver can use, removed with `stack`; what the storage answered for the others."""
    trials, refusals = dict[str, str](), dict[str, str]()
    for place in wanted:
        try:
            trial = places.open_trial(place)
            stack.callback(_close, trial)
            places.use(trial, "driver-too")
            trials[place] = trial
        except places.FAILURES as error:
            refusals[place] = f"{type(error).__name__}: {error}"
    return trials, refusals


def _close(trial: str) -> None:
    try:
        places.close_trial(trial)
    except places.FAILURES as error:  # said, but no reason to lose the findings
        print(f"{trial} could not be removed: {error}", flush=True)


def _judged(spark: SparkSession, settings: DoctorSettings, seen: list[Seen]) -> list[Check]:
    java = str(spark._jvm.java.lang.System.getProperty("java.version"))  # type: ignore[union-attr]
    return [
        judge.java(java, seen),
        judge.packages(preflight.versions_needed("tensorflow"), seen),
        judge.network(seen),
        judge.clocks(seen),
        judge.cores(seen, settings.cores_per_slot),
        judge.memory(seen, _overhead(spark)),
        judge.gpus(seen, spark.sparkContext.getConf().get("spark.task.resource.gpu.amount"), use_gpu=settings.use_gpu),
    ]


def _overhead(spark: SparkSession) -> int | None:
    """Megabytes that YARN or Kubernetes lets an executor take beside its heap; other masters set no limit."""
    context = spark.sparkContext
    if not str(context.master).startswith(("yarn", "k8s")):
        return None
    megabytes = context._jvm.org.apache.spark.network.util.JavaUtils.byteStringAsMb  # type: ignore[union-attr]
    conf = context.getConf()
    given = conf.get("spark.executor.memoryOverhead")
    if given is not None:
        return int(megabytes(given))
    share = float(str(conf.get("spark.executor.memoryOverheadFactor", str(_OVERHEAD_SHARE))))
    return max(_LEAST_OVERHEAD_MB, int(share * megabytes(conf.get("spark.executor.memory", "1g"))))


def _places(settings: DoctorSettings, refusals: dict[str, str], seen: list[Seen]) -> list[Check]:
    if not settings.places:
        return [Check(name="storage", state="warn", found="no place was named, so none was tried", change="--dataset URI and --run URI, as training will be told")]
    return [judge.storage_check(place, refusals.get(place, ""), seen) for place in settings.places]


def describe(record: DoctorRecord) -> str:
    """The checks as a table for the console: state, name, what was found, and below it what to change."""
    width = max(len(check.name) for check in record.checks)
    margin = " " * (width + 8)
    lines = []
    for check in record.checks:
        head = f"{check.state.upper():<5} {check.name:<{width}}  "
        for start, text in ((head, check.found), (f"{margin}change: ", check.change)):
            if text:
                lines.append(textwrap.fill(text, _WIDTH, initial_indent=start, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False))
    counts = ", ".join(f"{len(record.named(state))} {state}" for state in ("ok", "warn", "fail"))
    return "\n".join([*lines, "", f"{record.master}: {len(record.checks)} checks, {counts}"])
