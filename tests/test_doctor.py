"""jobs/doctor.py: a fit cluster passes, each fault that is really there is found, and what cannot be made real is judged from its figures."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from job_runs import DOCTOR, without_java
from slotwise import storage
from slotwise.cluster import preflight
from slotwise.cluster.doctor import clock, judge
from slotwise.cluster.doctor.probe import Seen
from slotwise.contracts.doctor import DoctorRecord
from slotwise.localcluster.cluster import LocalCluster
from slotwise.settings.training import Engine

if TYPE_CHECKING:
    from conftest import SparkSubmit

ALIKE = {"python": "3.11.7", "tensorflow": "2.21.0", "pillow": "13.0.0"}


def seen(slot: int, **changes: Any) -> Seen:
    """What a task of a fit cluster of one-slot executors reports, with changes."""
    fit: dict[str, Any] = {
        "slot": slot, "executor": str(slot), "host": f"host-{slot}", "java": "17.0.15", "versions": ALIKE, "processors": 1, "memory_mb": 8000,
        "clock": clock.Skew(0.0, 0.001), "unreachable": [], "places": {}, "gpus_given": [], "gpus_there": 0, "gpus_seen": None,
    }  # fmt: skip
    return Seen.model_validate({**fit, **changes})


@pytest.mark.parametrize(("engine", "needs_torch"), [("tensorflow", False), ("torch", True)])
def test_executors_need_what_trains_and_not_what_only_prepares(engine: Engine, needs_torch: bool) -> None:
    needed = preflight.versions_needed(engine)
    assert {"python", "slotwise", "tensorflow", "keras", "numpy", "pyspark"} <= set(needed)
    assert "cykooz-resizer" not in needed, "another processor may have another one, or none"
    assert ("torch" in needed) == needs_torch


def findings(uri: str) -> DoctorRecord:
    return DoctorRecord.model_validate(storage.read_json(uri))


@pytest.mark.cluster
def test_a_fit_cluster_fails_no_check(cluster: LocalCluster, hdfs: str, spark_submit: SparkSubmit) -> None:
    places = ("--dataset", f"{hdfs}/datasets/demo", "--run", f"{hdfs}/runs/demo")
    done = spark_submit("--master", cluster.master, DOCTOR, "--slots", "2", *places, "--output", f"{hdfs}/doctor.json")
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {check.name: check for check in findings(f"{hdfs}/doctor.json").checks}
    # Free memory and processors are the machine's; the rest is this cluster's own.
    for name in ("Spark's settings", "slots", "Java", "packages", "network", "clocks", f"storage {hdfs}/datasets", f"storage {hdfs}/runs"):
        assert checks[name].state == "ok", checks[name]
    assert checks["slots"].found == "2 of 1 core on 2 executors"
    assert checks["network"].found.startswith("2 tasks reached each other and the driver")
    for check in checks.values():
        assert re.search(rf"^{check.state.upper()} +{re.escape(check.name)}  +{re.escape(check.found[:30])}", done.stdout, re.MULTILINE)
    assert storage.children(hdfs) == ["doctor.json"], "nothing else is left where it was tried"


@pytest.fixture
def a_worker_of_another_time(cluster: LocalCluster, tmp_path: Path) -> Iterator[None]:
    """The second worker's machine has an older Pillow in front of the environment's."""
    metadata = tmp_path / "packages" / "pillow-11.0.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: pillow\nVersion: 11.0.0\n")
    worker = cluster.parts["worker-2"]
    before = worker.environment
    cluster.stop_part("worker-2")
    worker.environment = {**before, "PYTHONPATH": str(metadata.parent.parent)}
    cluster.start_part("worker-2")
    yield
    cluster.stop_part("worker-2")
    worker.environment = before
    cluster.start_part("worker-2")


@pytest.mark.cluster
@pytest.mark.usefixtures("a_worker_of_another_time")
def test_every_fault_of_an_unfit_cluster_is_found_in_one_call(cluster: LocalCluster, spark_submit: SparkSubmit, tmp_path: Path) -> None:
    dynamic = ("--conf", "spark.dynamicAllocation.enabled=true")
    output = tmp_path / "findings" / "doctor.json"
    done = spark_submit("--master", cluster.master, *dynamic, DOCTOR, "--slots", "3", "--run", "/proc/nowhere/run", "--output", str(output))
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "error: This cluster is not fit for it: Spark's settings, slots, packages, storage file:///proc/nowhere" in done.stdout + done.stderr
    checks = {check.name: check for check in DoctorRecord.model_validate(json.loads(output.read_text())).checks}
    assert "spark.dynamicAllocation.enabled=false" in checks["Spark's settings"].change
    assert checks["slots"].found.startswith("The cluster has 2 slots of 1 core")
    assert re.fullmatch(r"executor \d on \S+ has pillow 11\.0\.0, the driver has \S+", checks["packages"].found), "one executor, not both"
    assert checks["network"].state == "ok"
    assert "the driver: " in checks["storage file:///proc/nowhere"].found


def test_a_bad_call_ends_before_spark(tmp_path: Path) -> None:
    done: subprocess.CompletedProcess[str] = without_java(DOCTOR, "--output", "findings.txt", cwd=tmp_path)
    assert done.returncode == 2
    assert "ends in .json" in done.stderr


@pytest.mark.parametrize(("ahead", "state"), [(0.0, "ok"), (30.0, "warn"), (-30.0, "warn"), (1000.0, "fail")])
def test_a_clock_that_is_off_is_told_by_how_much(ahead: float, state: str) -> None:
    import time

    with clock.ClockServer("127.0.0.1", lambda: time.time() - ahead) as server:
        skew = clock.skew("127.0.0.1", server.port)
    assert abs(skew.seconds - ahead) <= skew.within
    check = judge.clocks([seen(0), seen(1, clock=skew)])
    assert check.state == state
    assert state == "ok" or check.found.endswith("on executor 1 on host-1")


def test_an_answer_that_took_long_counts_for_no_more_than_it_says() -> None:
    assert judge.clocks([seen(0, clock=clock.Skew(3.0, 2.5))]).state == "ok"


@pytest.mark.parametrize(
    ("driver", "executor", "state"), [("17.0.15", "17.0.2", "ok"), ("21.0.1", "17.0.15", "warn"), ("17.0.15", "11.0.2", "fail"), ("17", "1.8.0_392", "fail")]
)
def test_java_is_judged_by_its_release(driver: str, executor: str, state: str) -> None:
    assert judge.java(driver, [seen(0, java=executor)]).state == state


@pytest.mark.parametrize(
    ("given", "known", "amount", "use_gpu", "state"),
    [
        ([], None, None, False, "ok"),
        ([], 0, None, True, "fail"),
        (["0"], 1, "1", True, "ok"),
        (["0", "1"], 2, "2", True, "ok"),
        (["0"], 0, "1", True, "fail"),
        (["0"], 1, "0.5", True, "warn"),
    ],
)
def test_gpus_that_spark_gives_have_to_be_seen(given: list[str], known: int | None, amount: str | None, use_gpu: bool, state: str) -> None:
    assert judge.gpus([seen(0, gpus_given=given, gpus_seen=known)], amount, use_gpu=use_gpu).state == state


def test_gpus_that_nobody_asks_for_are_mentioned() -> None:
    check = judge.gpus([seen(0), seen(1, gpus_there=4)], None, use_gpu=False)
    assert (check.state, check.found) == ("warn", "none asked for, but executor 1 on host-1 has 4")


def test_memory_beside_the_heap_has_to_do_for_all_slots_of_an_executor() -> None:
    both = [seen(0, executor="1", host="a"), seen(1, executor="1", host="a")]
    assert judge.memory(both, None).state == "ok"
    assert judge.memory(both, 4000).state == "ok"
    assert "spark.executor.memoryOverhead=8g" in judge.memory(both, 2000).change
    assert judge.memory([seen(0, memory_mb=1000)], None).found == "host-0 has 1,000 MB free for 1 slot"


def test_slots_that_share_processors_are_mentioned() -> None:
    assert judge.cores([seen(0, host="a"), seen(1, host="a")], 1).found == "a has 1 processor for 2 slots of 1 core"
    assert judge.cores([seen(0, host="a", processors=2), seen(1, host="a", processors=2)], 1).state == "ok"


def test_what_one_executor_cannot_reach_or_use_is_said_of_that_one() -> None:
    odd = seen(1, unreachable=["10.0.0.1:4000 (timed out)"], places={"hdfs://h/runs": "PermissionError: no"})
    fit = seen(0, places={"hdfs://h/runs": ""})
    assert judge.network([fit, odd]).found == "executor 1 on host-1 cannot reach 10.0.0.1:4000 (timed out)"
    assert judge.storage_check("hdfs://h/runs", "", [fit, odd]).found == "executor 1 on host-1: PermissionError: no"
