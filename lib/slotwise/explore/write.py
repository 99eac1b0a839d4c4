"""The exploration's files."""

from __future__ import annotations

from slotwise import storage
from slotwise.explore.record import ExploreResult


def write(result: ExploreResult, directory: str) -> None:
    """Writes `report.html` and, last, `explore.json` into a directory, each whole or not at all.

    Args:
        result: what was found.
        directory: its URI, `DatasetPaths.explore`. Earlier files of these names are replaced: whether the dataset
            may be replaced is asked before any stage runs.
    """
    from slotwise.explore.page import explore_report  # brings matplotlib, half a second that no job is to take before Spark starts

    storage.write_text(storage.join(directory, "report.html"), explore_report(result))
    storage.write_json(storage.join(directory, "explore.json"), result.model_dump(mode="json"))
