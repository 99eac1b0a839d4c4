"""What the data looks like before anything is made of it: numbers, and a page with plots; nothing is changed."""

from slotwise.explore.measure import ExploreResult, explore
from slotwise.explore.write import write

__all__ = ["ExploreResult", "explore", "write"]
