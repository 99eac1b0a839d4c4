"""Finished runs side by side: which may be, the table, and its files."""

from slotwise.compare.runs import Choice, choose_runs, find_runs
from slotwise.compare.table import SHARED_SETTINGS
from slotwise.compare.write import Published, compare_runs, markdown, refuse_existing

__all__ = ["SHARED_SETTINGS", "Choice", "Published", "choose_runs", "compare_runs", "find_runs", "markdown", "refuse_existing"]
