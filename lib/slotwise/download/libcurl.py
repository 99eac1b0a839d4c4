"""pycurl with the libcurl that it brings: TensorFlow has another, older one in it, whose functions it gives to all who are loaded after it."""

from __future__ import annotations

import os
import sys

_others = sys.getdlopenflags()
# All functions at once, each first looked for in pycurl's own libraries. macOS, which has no such flag, looks nowhere else.
sys.setdlopenflags(os.RTLD_NOW | getattr(os, "RTLD_DEEPBIND", 0))
try:
    import pycurl
finally:
    sys.setdlopenflags(_others)

__all__ = ["pycurl"]
