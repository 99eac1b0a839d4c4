"""Exact, fast, survivable training of image classifiers on the executor slots of a Spark cluster."""

__version__ = "0.1.0"
