"""What the driver makes of slots that failed."""

from __future__ import annotations

from pathlib import Path

from slotwise import storage
from slotwise.cluster.launch import reported_failures
from slotwise.contracts.job import SlotFailure
from slotwise.contracts.paths import RunPaths


def test_a_failure_that_a_slot_is_just_writing_is_not_read_yet(tmp_path: Path) -> None:
    run = tmp_path.as_uri()
    failure = SlotFailure(slot=0, host="here", exit_code=-9, explained=False, message="killed", is_lost=True, tail=[], time=1.0)
    storage.write_text(RunPaths(run).failure(0), failure.model_dump_json())
    Path(storage.local_path(storage.temporary(RunPaths(run).failure(1)))).write_text("")
    assert reported_failures(run) == [failure]
