"""The PyTorch engine for the training process: how it starts, joins the other slots, and knows that one was lost."""

from __future__ import annotations

import ctypes
from contextlib import suppress

import keras
import tensorflow as tf
import torch
from keras.src.backend.common import dtypes

from slotwise.engines.engine import Engine
from slotwise.engines.torch import collective
from slotwise.engines.torch.communication import all_reduce_seconds
from slotwise.engines.torch.evaluation import Evaluator, inference_seconds
from slotwise.engines.torch.layers import FORMS
from slotwise.engines.torch.step import TrainingStep

is_lost_peer = collective.is_lost_peer

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def configure(cores: int) -> None:
    """Sets threads and memory; to be called before anything else. TensorFlow only feeds, so it is to leave GPUs alone."""
    torch.set_num_threads(cores)
    tf.config.threading.set_intra_op_parallelism_threads(cores)
    tf.config.threading.set_inter_op_parallelism_threads(cores)
    tf.config.set_visible_devices([], "GPU")
    # Keras's operations on PyTorch take float64 for float32 (https://github.com/keras-team/keras/issues/23704).
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    _keep_memory()


def _keep_memory() -> None:
    """Has the C library keep what is freed: PyTorch asks for each layer's output anew, and half of a step would go into page faults."""
    with suppress(AttributeError):  # not glibc
        set_option = ctypes.CDLL(None).mallopt
        set_option(_M_MMAP_MAX, 0)
        set_option(_M_TRIM_THRESHOLD, -1)
        set_option(_M_TOP_PAD, 64 << 20)


def connect(timeout_seconds: int) -> Engine:
    """Joins the slots that TorchDistributor's variables describe, within a time after which the process ends."""
    return Engine(collective.connect(timeout_seconds), FORMS, keras.optimizers.Adam, TrainingStep, Evaluator, all_reduce_seconds, inference_seconds)
