"""Which rows of a catalogue are candidates: the largest classes, and of each as many as the dataset needs with a reserve."""

from slotwise.catalogue.select import candidates, given_splits, narrow, select_classes, with_images

__all__ = ["candidates", "given_splits", "narrow", "select_classes", "with_images"]
