"""The time line of a run: each launch of its slots from start to end, the epochs that it finished, and what ended it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from slotwise.contracts.run import EpochRecord, RestartRecord, RunRecord
from slotwise.report import charts, wording

COLUMNS = ("After", "What happened")


@dataclass(frozen=True)
class Attempt:
    """One launch of the slots; times are seconds since the first of them."""

    slots: int
    start: float
    end: float
    lost: RestartRecord | None
    """What came of it where it was lost."""
    epochs: Sequence[tuple[EpochRecord, float]]
    """Those that it finished and that stayed, with their ends; none of runs that did not write these down."""

    @property
    def epochs_begin(self) -> float:
        """About when its first epoch began: of one that an earlier attempt had begun, the seconds include those."""
        if not self.epochs:
            return self.end
        first, end = self.epochs[0]
        return max(self.start, end - first.seconds - first.validation_seconds)


def attempts(record: RunRecord) -> list[Attempt]:
    """The launches of a run, first to last."""
    starts = [0.0, *(restart.seconds for restart in record.restarts)]
    ends = [*(restart.seconds if restart.lost is None else restart.lost for restart in record.restarts), record.total_seconds]
    slots = [record.slots, *(restart.slots for restart in record.restarts)]
    return [
        Attempt(count, start, end, lost, list(_epochs_within(record, start, end)))
        for count, start, end, lost in zip(slots, starts, ends, [*record.restarts, None], strict=True)
    ]


def _epochs_within(record: RunRecord, start: float, end: float) -> Iterator[tuple[EpochRecord, float]]:
    for epoch in record.epochs:
        if epoch.ended is not None and record.launched is not None and start <= epoch.ended - record.launched <= end:
            yield epoch, epoch.ended - record.launched


def timeline_figure(record: RunRecord) -> Figure:
    """One bar for each launch, in its parts."""
    unit, name = _unit(record.total_seconds)
    spans = []
    for number, attempt in enumerate(attempts(record), 1):
        ends = [end / unit for _, end in attempt.epochs]
        parts = {"starting": attempt.epochs_begin / unit, "epochs": (attempt.end if attempt.lost or not ends else attempt.epochs[-1][1]) / unit}
        # Of a run that did not write down when its epochs ended, no part is known.
        if record.launched is None:
            parts = {"training": attempt.end / unit}
        elif not attempt.lost:
            parts["test, model"] = attempt.end / unit
        spans.append(charts.Span(f"launch {number}: {wording.count(attempt.slots, 'slot')}", attempt.start / unit, parts, ends, is_lost=attempt.lost is not None))
    return charts.spans(spans, f"{name} since the launch", mark="end of an epoch", lost="slots lost")


def timeline_cells(record: RunRecord) -> list[tuple[str, str]]:
    """The same and the reasons as one text for each of `COLUMNS`, in the order of time."""
    events: list[tuple[float, str]] = []
    for number, attempt in enumerate(attempts(record), 1):
        on = wording.count(attempt.slots, "slot")
        events.append((attempt.start, f"Launched on {on}" if number == 1 else f"Launched again from the last checkpoint, on {on}"))
        for epoch, end in attempt.epochs:
            notes = [
                *(["the first of this launch"] if epoch is attempt.epochs[0][0] else []),
                *(["the last"] if epoch is record.epochs[-1] else []),
                *(["whose weights were kept"] if epoch.epoch == record.best_epoch else []),
            ]
            if notes:
                events.append((end, f"Epoch {epoch.epoch} over, {', '.join(notes)}"))
        if attempt.lost:
            events.append((attempt.end, f"Slots lost: {attempt.lost.reason}"))
    events.append((record.total_seconds, f"The model was tested and written, and the slots ended; finished {record.created}"))
    return [(wording.duration(seconds).replace(" ", "\N{NO-BREAK SPACE}"), text) for seconds, text in events]


def _unit(seconds: float) -> tuple[float, str]:
    return (1.0, "seconds") if seconds < 300 else (60.0, "minutes") if seconds < 7200 else (3600.0, "hours")
