"""The catalogue stage: which classes, and which of their rows are worth fetching."""

from slotwise.catalogue.selection import candidates, narrow, select_classes

__all__ = ["candidates", "narrow", "select_classes"]
