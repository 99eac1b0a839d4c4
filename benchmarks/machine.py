"""What ratios depend on: the processor and its widest arithmetic, and the versions of the libraries."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from slotwise.versions import installed_versions

# As Linux names them, the widest first.
_VECTORS = ("avx512f", "avx2", "avx", "sve", "asimd")
_BFLOAT16 = ("amx_bf16", "avx512_bf16", "bf16")


def facts() -> dict[str, object]:
    return {
        "processor": _entry("model name") or platform.processor(),
        "instructions": " ".join(_instructions()),
        "cores": os.cpu_count(),
        "system": platform.system(),
        **installed_versions(),
    }


def busy_seconds() -> float:
    """Processor time of all that ran on all cores since the start of the system, without what other virtual machines took; Linux."""
    user, nice, system, _, _, irq, softirq, *_ = (int(ticks) for ticks in Path("/proc/stat").read_text().split()[1:11])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16; without it, mixed_bfloat16 is far slower than float32."""
    return not set(_BFLOAT16).isdisjoint(_flags())


def _instructions() -> list[str]:
    flags = _flags()
    return [found for names in (_VECTORS, _BFLOAT16) if (found := next((name for name in names if name in flags), None))]


def _flags() -> set[str]:
    return set((_entry("flags") or _entry("Features")).split())


def _entry(name: str) -> str:
    """The first such entry of what Linux says of the processors; empty elsewhere."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
