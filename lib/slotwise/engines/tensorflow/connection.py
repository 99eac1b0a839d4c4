"""The TensorFlow engine for the training process: how it starts, joins the other slots, and knows that one was lost."""

from __future__ import annotations

import tensorflow as tf

from slotwise.engines.engine import Engine
from slotwise.engines.tensorflow import collective
from slotwise.engines.tensorflow.communication import all_reduce_seconds
from slotwise.engines.tensorflow.evaluation import Evaluator, inference_seconds
from slotwise.engines.tensorflow.layers import FORMS
from slotwise.engines.tensorflow.optimizers import FusedAdam
from slotwise.engines.tensorflow.step import TrainingStep

is_lost_peer = collective.is_lost_peer


def configure(cores: int) -> None:
    """Sets threads, and has GPUs take memory as they need it; to be called before anything else."""
    # A slot that waits for others in memory keeps a thread from computing.
    waiting = collective.share_hosts(collective.addresses()[0])
    tf.config.threading.set_intra_op_parallelism_threads(cores)
    tf.config.threading.set_inter_op_parallelism_threads(cores + waiting)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def connect(timeout_seconds: int) -> Engine:
    """Joins the cluster that `TF_CONFIG` describes, within a time after which the process ends."""
    return Engine(collective.connect(timeout_seconds), FORMS, FusedAdam, TrainingStep, Evaluator, all_reduce_seconds, inference_seconds)
