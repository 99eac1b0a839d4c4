"""A round of measurements."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from benchmarks.pairs import Claim, Contestants


class Round(NamedTuple):
    """Contestants that share their data, and the claims about them.

    `open` makes what they need and gives them; it is left when they are done.
    """

    name: str
    claims: tuple[Claim, ...]
    open: Callable[[], AbstractContextManager[Contestants]]
