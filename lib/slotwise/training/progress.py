"""What the chief slot says while it trains: epoch, step, images/s, loss, every few seconds."""

from __future__ import annotations

import time

from slotwise.contracts.run import EpochRecord

EVERY_SECONDS = 3.0


class ProgressLines:
    """Prints lines for one training; silent on every slot but the chief."""

    def __init__(self, epochs: int, steps: int, *, enabled: bool) -> None:
        self._epochs, self._steps, self._enabled = epochs, steps, enabled
        self.epoch_begins()

    def epoch_begins(self, step: int = 0, images: float = 0) -> None:
        """Says that an epoch goes on after so many steps and images."""
        self._first_step, self._first_images = step, images
        self._last = self._epoch_start = time.monotonic()

    def is_due(self) -> bool:
        return self._enabled and time.monotonic() - self._last >= EVERY_SECONDS

    def step(self, epoch: int, step: int, images: float, loss: float, accuracy: float) -> None:
        """Says where the epoch (from 1) is after `step` steps, with its means so far."""
        self._last = time.monotonic()
        seconds = max(self._last - self._epoch_start, 1e-9)
        speed = (images - self._first_images) / seconds
        left = (self._steps - step) * seconds / max(step - self._first_step, 1)
        print(
            f"epoch {epoch}/{self._epochs}  step {step}/{self._steps}  loss {loss:.4f}  accuracy {accuracy:.1%}  "
            f"{speed:,.0f} images/s  {left:.0f} s left in epoch",
            flush=True,
        )

    def epoch_ends(self, record: EpochRecord) -> None:
        if not self._enabled:
            return
        validation = ""
        if record.validation_loss is not None and record.validation_accuracy is not None:
            validation = f"  validation loss {record.validation_loss:.4f}  accuracy {record.validation_accuracy:.1%}"
        print(
            f"epoch {record.epoch}/{self._epochs}  done in {record.seconds:.1f} s  loss {record.loss:.4f}  accuracy {record.accuracy:.1%}"
            f"{validation}  {record.images_per_second:,.0f} images/s",
            flush=True,
        )
