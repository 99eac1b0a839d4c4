"""The errors a user can cause or meet, each with the exit code its job ends with."""

from __future__ import annotations

from slotwise.texts import printable


class SlotwiseError(Exception):
    """Any failure that slotwise explains itself: printed without a traceback, exit code 1."""

    exit_code = 1


class UsageError(SlotwiseError):
    """A call that cannot be carried out as given: exit code 2, and no work was started.

    Args:
        what: what was wrong, one sentence without a full stop.
        received: the offending value as it came in.
        accepted: what would have been accepted, or what to change.
    """

    exit_code = 2

    def __init__(self, what: str, *, received: object, accepted: str) -> None:
        super().__init__(f"{what}. Received: {printable(received)}. Accepted: {printable(accepted)}.")
        self.what = what
        self.received = received
        self.accepted = accepted


class DataError(SlotwiseError):
    """Data that was promised is missing, damaged or not enough."""


class TrainingFailed(SlotwiseError):
    """A slot's training ended with an error of its own."""


class Interrupted(SlotwiseError):
    """A run that was ended from outside and left a checkpoint to go on from; the exit code is that of a program ended by Ctrl-C."""

    exit_code = 130


class SlotsLost(TrainingFailed):
    """Slots went away by no fault of the program: another attempt may succeed."""
