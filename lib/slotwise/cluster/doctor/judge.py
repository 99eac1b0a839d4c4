"""From what tasks have seen to checks: arithmetic and words, no cluster."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from slotwise.cluster import preflight
from slotwise.cluster.doctor.probe import Seen
from slotwise.contracts.doctor import Check
from slotwise.report.wording import count

_OLDEST_JAVA = 17
# TensorFlow, Keras and a small model; nobody can know how much a larger one takes.
SLOT_MEMORY_MB = 1500
# Of several slots' failures the earliest is taken for the cause, and executors start within seconds of each other.
_SKEW_SECONDS = 1.0
# Kerberos, and so a secured HDFS or YARN, refuses what is five minutes off.
_LARGEST_SKEW_SECONDS = 300.0
_NAMED = 3


def java(driver: str, seen: Sequence[Seen]) -> Check:
    """Whether all Javas are new enough, and of one release."""
    releases = {_release(version) for version in (driver, *(each.java for each in seen))}
    found = f"{driver} on the driver, {_list(sorted({each.java for each in seen}))} on executors"
    if min(releases) < _OLDEST_JAVA:
        return Check(name="Java", state="fail", found=found, change=f"Spark 4 needs Java {_OLDEST_JAVA} or later on every node")
    if len(releases) > 1:
        return Check(name="Java", state="warn", found=found, change="the same release of Java on every node")
    return Check(name="Java", state="ok", found=found)


def _release(version: str) -> int:
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    return numbers[1] if numbers[0] == 1 and len(numbers) > 1 else numbers[0]


def packages(expected: Mapping[str, str], seen: Sequence[Seen]) -> Check:
    """Whether executors have the driver's versions of Python and of what decides a result."""
    faults = [
        f"{each.where} has {name} {each.versions.get(name)}, the driver has {expected[name]}"
        for each in _one_per_executor(seen)
        for name in preflight.different(expected, each.versions)
    ]
    if faults:
        return Check(name="packages", state="fail", found=_list(faults), change=preflight.SAME_ENVIRONMENT)
    return Check(name="packages", state="ok", found=f"Python {expected['python']}, TensorFlow {expected['tensorflow']} and {len(expected) - 2} more, alike everywhere")


def network(seen: Sequence[Seen]) -> Check:
    """Whether every task could connect to every other, and to the driver."""
    faults = [f"{each.where} cannot reach {address}" for each in seen for address in each.unreachable]
    if faults:
        change = "let executors connect to each other and to the driver on any port (firewall, SPARK_LOCAL_IP, spark.driver.host)"
        return Check(name="network", state="fail", found=_list(faults), change=change)
    return Check(name="network", state="ok", found=f"{count(len(seen), 'task')} reached each other and the driver on ports of their own")


def clocks(seen: Sequence[Seen]) -> Check:
    """Whether executors' clocks go with the driver's."""
    known = [(each, each.clock) for each in seen if each.clock is not None]
    if not known:
        return Check(name="clocks", state="warn", found="no executor reached the driver to compare", change="as for network")
    worst, skew = max(known, key=lambda pair: abs(pair[1].seconds))
    size = abs(skew.seconds)
    found = f"at most {size:.3f} s (± {skew.within:.3f} s) from the driver's, on {worst.where}"
    if size - skew.within <= _SKEW_SECONDS:
        return Check(name="clocks", state="ok", found=found)
    state = "fail" if size - skew.within > _LARGEST_SKEW_SECONDS else "warn"
    return Check(name="clocks", state=state, found=found, change="keep all clocks by NTP (chrony, systemd-timesyncd)")


def cores(seen: Sequence[Seen], cores_per_slot: int) -> Check:
    """Whether machines have the processors that Spark hands out."""
    short = []
    for host, tasks in _by_host(seen).items():
        processors = max(each.processors for each in tasks)
        if len(tasks) * cores_per_slot > processors:
            short.append(f"{host} has {count(processors, 'processor')} for {count(len(tasks), 'slot')} of {count(cores_per_slot, 'core')}")
    if short:
        return Check(name="cores", state="warn", found=_list(short), change="fewer cores per worker or executor, or on YARN the DominantResourceCalculator: slots that share a core wait for each other")
    return Check(name="cores", state="ok", found=_list([f"{host}: {count(len(tasks), 'slot')}, {count(tasks[0].processors, 'processor')}" for host, tasks in _by_host(seen).items()]))


def memory(seen: Sequence[Seen], overhead_mb: int | None) -> Check:
    """Whether there is room for slots beside their executors' Java.

    Args:
        overhead_mb: what the cluster lets an executor take beside its heap; None where it sets no limit.
    """
    faults = []
    for host, tasks in _by_host(seen).items():
        free = min((each.memory_mb for each in tasks if each.memory_mb is not None), default=None)
        if free is not None and free < len(tasks) * SLOT_MEMORY_MB:
            faults.append((f"{host} has {free:,} MB free for {count(len(tasks), 'slot')}", "fewer slots on a machine, or larger machines"))
    for executor, tasks in _by_executor(seen).items():
        if overhead_mb is not None and overhead_mb < len(tasks) * SLOT_MEMORY_MB:
            found = f"executor {executor} may take {overhead_mb:,} MB beside its heap for {count(len(tasks), 'slot')}"
            faults.append((found, f"--conf spark.executor.memoryOverhead={len(tasks) * 4}g: beyond it the cluster kills the executor"))
    if faults:
        return Check(name="memory", state="warn", found=_list([found for found, _ in faults]), change=faults[-1][1])
    return Check(name="memory", state="ok", found=f"{SLOT_MEMORY_MB:,} MB and more for each slot beside Java")


def gpus(seen: Sequence[Seen], amount: str | None, *, use_gpu: bool) -> Check:
    """What Spark gives against what TensorFlow sees.

    Args:
        amount: `spark.task.resource.gpu.amount`.
    """
    if amount is None and not use_gpu:
        idle = [f"{each.where} has {each.gpus_there}" for each in _one_per_executor(seen) if each.gpus_there]
        if idle:
            return Check(name="GPUs", state="warn", found=f"none asked for, but {_list(idle)}", change="--use-gpu, with --conf spark.task.resource.gpu.amount=1")
        return Check(name="GPUs", state="ok", found="none asked for, none there")
    faults = [
        f"{each.where}: Spark gives slot {each.slot} {_list(each.gpus_given) or 'none'}, TensorFlow sees {each.gpus_seen}"
        for each in seen
        if not each.gpus_given or each.gpus_seen != len(each.gpus_given)
    ]
    if faults:
        return Check(name="GPUs", state="fail", found=_list(faults), change="tensorflow[and-cuda] in the executors' environment, the NVIDIA driver on each node, and a discovery script that lists what it shows")
    if amount is not None and float(amount) < 1:
        return Check(name="GPUs", state="warn", found=f"{amount} of a GPU for each slot", change="spark.task.resource.gpu.amount=1: slots that share a GPU share its memory and its time, and are no faster")
    return Check(name="GPUs", state="ok", found=f"TensorFlow sees what Spark gives, {len(seen[0].gpus_given)} for each slot")


def storage_check(place: str, driver: str, seen: Sequence[Seen]) -> Check:
    """Whether a place can be used by the driver and by executors.

    Args:
        driver: what the storage answered the driver; empty where all worked, and executors have tried.
    """
    name = f"storage {place}"
    faults = [f"the driver: {driver}"] if driver else [f"{each.where}: {each.places[place]}" for each in _one_per_executor(seen) if each.places[place]]
    if faults:
        return Check(name=name, state="fail", found=_list(faults), change="a place that driver and executors can reach and write to, such as hdfs://…")
    return Check(name=name, state="ok", found="listed, written, renamed, read and deleted by driver and executors")


def _by_host(seen: Sequence[Seen]) -> dict[str, list[Seen]]:
    return _grouped([(each.host, each) for each in seen])


def _by_executor(seen: Sequence[Seen]) -> dict[str, list[Seen]]:
    return _grouped([(each.executor, each) for each in seen])


def _grouped(pairs: Sequence[tuple[str, Seen]]) -> dict[str, list[Seen]]:
    groups: dict[str, list[Seen]] = defaultdict(list)
    for key, each in pairs:
        groups[key].append(each)
    return dict(sorted(groups.items()))


def _one_per_executor(seen: Sequence[Seen]) -> list[Seen]:
    return [tasks[0] for tasks in _by_executor(seen).values()]


def _list(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return ", ".join(texts[:_NAMED]) + more
