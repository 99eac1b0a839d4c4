"""TensorBoard's event files, whole in memory: what an epoch's record says as scalars, and pictures, framed as TFRecord."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from slotwise.contracts.run import EpochRecord
from slotwise.formats.tfrecord import framed
from slotwise.tracking.pictures import Picture

SCALARS = {
    "loss/training": "loss",
    "loss/validation": "validation_loss",
    "accuracy/training": "accuracy",
    "accuracy/validation": "validation_accuracy",
    "optimizer/learning_rate": "learning_rate",
    "optimizer/gradient_norm": "gradient_norm",
    "speed/images_per_second": "images_per_second",
    "speed/epoch_seconds": "seconds",
    "share of time/all-reduce": "all_reduce_share",
    "share of time/waiting for data": "waiting_for_data_share",
}
"""TensorBoard's tag to the field of `EpochRecord`."""

# The first record of a file says which form the others have.
_FORM = "brain.Event:2"


def scalars(record: EpochRecord) -> dict[str, float]:
    """What is known of an epoch, by tag."""
    values = {tag: getattr(record, field) for tag, field in SCALARS.items()}
    return {tag: float(value) for tag, value in values.items() if value is not None}


def event_file(step: int, numbers: Mapping[str, float], pictures: Mapping[str, Picture]) -> bytes:
    """The content of a file with one step of each tag."""
    now = time.time()
    values = [Summary.Value(tag=tag, simple_value=number) for tag, number in numbers.items()]
    values += [Summary.Value(tag=tag, image=_image(picture)) for tag, picture in pictures.items()]
    events = [Event(wall_time=now, file_version=_FORM), Event(wall_time=now, step=step, summary=Summary(value=values))]
    return b"".join(framed(event.SerializeToString()) for event in events)


def _image(picture: Picture) -> Summary.Image:
    return Summary.Image(height=picture.height, width=picture.width, colorspace=3, encoded_image_string=picture.png)
