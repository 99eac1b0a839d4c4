"""TensorBoard's own reader on a run's event files."""

from __future__ import annotations

import sys
import tempfile
import types
from pathlib import Path
from typing import NamedTuple

from slotwise.tracking.mirror import mirror

# TensorBoard's own sign for doing without TensorFlow.
sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))


class Seen(NamedTuple):
    """What TensorBoard would show."""

    scalars: dict[str, dict[int, float]]
    """By tag and step."""
    images: dict[str, dict[int, bytes]]


def seen(run: str) -> Seen:
    """Reads a run's event files, on whatever storage. Fails if a tag has a step twice."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tempfile.TemporaryDirectory() as scratch:
        mirror(run, Path(scratch))
        events = EventAccumulator(scratch, size_guidance={"images": 0, "scalars": 0}).Reload()
        tags = events.Tags()
        scalars = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags["scalars"]}
        images = {tag: [(event.step, event.encoded_image_string) for event in events.Images(tag)] for tag in tags["images"]}
    for tag, steps in [*scalars.items(), *images.items()]:
        assert [step for step, _ in steps] == sorted({step for step, _ in steps}), tag
    return Seen({tag: dict(steps) for tag, steps in scalars.items()}, {tag: dict(steps) for tag, steps in images.items()})
