"""Loads TensorFlow as slots do, for processes that are forked from one that has imported this."""

from slotwise.engines import lean

lean.load()
