"""The two programs that place one task per slot: each engine's own, with our slot in the place of its training."""

from __future__ import annotations

import logging
from typing import Any

from pyspark.ml.torch.distributor import TorchDistributor
from spark_tensorflow_distributor import MirroredStrategyRunner

from slotwise.cluster.placement import Places
from slotwise.cluster.slot import run_slot
from slotwise.contracts.job import TrainingJob


def run_on_slots(job: TrainingJob, log_address: tuple[str, int], places: Places) -> dict[str, Any]:
    """Runs `run_slot` on every slot of a job, and has them add their places; returns what the chief's gave.

    Raises:
        Py4JJavaError, PySparkException: a slot failed.
    """
    settings, text = job.settings, job.model_dump_json()
    if settings.engine == "torch":
        return _TorchSlots(num_processes=settings.slots, local_mode=False, use_gpu=settings.use_gpu).run_slots(text, log_address, places)
    # The runner's own messages repeat what ours say; it sets its logger's level itself, so a filter drops them.
    logging.getLogger("MirroredStrategyRunner").addFilter(_warnings_only)
    runner = MirroredStrategyRunner(num_slots=settings.slots, use_gpu=settings.use_gpu, use_custom_strategy=True)
    outcome: dict[str, Any] = runner.run(run_slot, job_json=text, log_address=log_address, places=places)
    return outcome


class _TorchSlots(TorchDistributor):
    """TorchDistributor's barrier tasks with their addresses and GPUs, without the `torchrun` that it starts in them.

    pyspark's own DeepspeedTorchDistributor puts another program there in the same way.
    """

    def run_slots(self, job_json: str, log_address: tuple[str, int], places: Places) -> dict[str, Any]:
        self.logger.addFilter(_warnings_only)
        outcome: dict[str, Any] = self._run_distributed_training(_run_slot, job_json, None, None, log_address, places)  # type: ignore[assignment]
        return outcome


def _run_slot(_: dict[str, Any], job_json: str, log_address: tuple[str, int], places: Places) -> dict[str, Any]:
    return run_slot(job_json, log_address, places)


def _warnings_only(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
