"""Measured ratios: whole processes pinned to their cores, one program after the other in turn, medians with their spread."""
