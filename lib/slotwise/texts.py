"""Texts that others wrote, made fit for a terminal, a log or a record."""

from __future__ import annotations

import re
from typing import Any

_LONGEST = 2_000
# User and password of a URL. Up to the last @ before the path: a password may have one in it.
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")


def printable(text: object, longest: int = _LONGEST) -> str:
    """A text for a terminal or a log: what others have written into it neither steers the terminal, nor adds lines, nor goes on for pages."""
    shown = "".join(character if character.isprintable() else repr(character)[1:-1] for character in str(text)[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[:longest]}…"


def without_credentials(value: Any) -> Any:
    """A text, or JSON value, with stars for the user and password of every URL in it."""
    if isinstance(value, str):
        return _CREDENTIALS.sub("***@", value)
    if isinstance(value, dict):
        return {name: without_credentials(part) for name, part in value.items()}
    return [without_credentials(part) for part in value] if isinstance(value, list) else value
