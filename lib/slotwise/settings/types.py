"""Value types that several jobs' settings share: URIs, image sizes, comma-separated lists and pairs."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from slotwise import storage
from slotwise.errors import UsageError


def _text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _uri(value: str) -> str:
    try:
        return storage.normalise(value)
    except UsageError as error:
        raise ValueError(str(error)) from error


def _image_size(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+)\s*[xX×]\s*(\d+)\s*", value)
        if match is None:
            raise ValueError("it is not of the form HEIGHTxWIDTH")
        value = (int(match[1]), int(match[2]))
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(4 <= int(side) <= 4096 for side in value):
        return tuple(value)
    raise ValueError("height and width have to lie between 4 and 4096 pixels")


def _comma_separated(value: Any) -> Any:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return value
    return [part.strip() for item in items for part in item.split(",") if part.strip()]


def _key_values(value: Any) -> Any:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        return value
    pairs = [part.strip().partition("=") for item in items for part in str(item).split(",") if part.strip()]
    if not all(name.strip() and sign and text.strip() for name, sign, text in pairs):
        raise ValueError("it is not of the form name=value")
    return {name.strip(): _number_or_text(text.strip()) for name, _, text in pairs}


def _number_or_text(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def pattern_regex(patterns: Sequence[str]) -> str:
    """A regular expression, for Python and for Java, of what fits one of some patterns as a whole.

    `*` stands for any text and `?` for one character, as in a shell; all else stands for itself.

    >>> pattern_regex(["Tomato*", "C++"])
    '(?s)^(?:Tomato.*|C\\\\+\\\\+)(?!.)'
    """
    wild = {"*": ".*", "?": "."}
    fits = "|".join("".join(wild.get(letter) or re.escape(letter) for letter in pattern) for pattern in patterns)
    return f"(?s)^(?:{fits})(?!.)"  # `$` would pass over a line break at the end


Uri = Annotated[str, BeforeValidator(_text), AfterValidator(_uri)]
ImageSize = Annotated[tuple[int, int], BeforeValidator(_image_size)]
CommaSeparated = BeforeValidator(_comma_separated)
KeyValues = BeforeValidator(_key_values)
