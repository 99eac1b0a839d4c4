"""Which rows of a catalogue are candidates: the largest classes, and of each as many as the dataset needs with a reserve."""

from slotwise.catalogue.select import candidates, has_validation, narrow, select_classes, with_images

__all__ = ["candidates", "has_validation", "narrow", "select_classes", "with_images"]
