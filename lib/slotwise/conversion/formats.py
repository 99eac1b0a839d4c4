"""The formats by name: the file each makes, what it needs, and the module that knows it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from slotwise.contracts.export import TensorRecord
from slotwise.errors import UsageError
from slotwise.settings.export import FormatName

if TYPE_CHECKING:
    from slotwise.conversion.original import Original

Pixels = npt.NDArray[np.uint8]
Files = dict[str, bytes]
"""Content by path below the export."""
Answers = Callable[[Pixels], npt.NDArray[np.float32]]
"""An opened model: probabilities [n, classes] of pixels [n, height, width, channels]."""


class Converted(NamedTuple):
    """A model in a format, and how it is called; None for what all formats have in common: uint8 in, float32 out."""

    files: Files
    takes: TensorRecord | None = None
    gives: TensorRecord | None = None


class Family(Protocol):
    """What a module of related formats can do; it is loaded where its packages may be, in a task."""

    def convert(self, name: FormatName, path: str, original: Original) -> Converted:
        """The model as files at or below `path`."""

    def load(self, path: str, files: Files, cores: int) -> Answers:
        """The model in such files, held to a number of threads."""


@dataclass(frozen=True)
class Format:
    """One format.

    `path` is its file, or directory, below the export; `packages` are what has to be importable, and `install` says how they come.
    """

    path: str
    module: str
    packages: tuple[str, ...] = ()
    install: str = ""
    is_calibrated: bool = False

    @property
    def is_installed(self) -> bool:
        return all(find_spec(package) is not None for package in self.packages)

    def family(self) -> Family:
        return cast(Family, importlib.import_module(f"slotwise.conversion.{self.module}"))


_ONNX, _TORCH = "pip install 'slotwise[onnx]'", "make torch, or pip install 'slotwise[torch]'"

FORMATS: dict[FormatName, Format] = {
    "saved_model": Format("saved_model", "saved_model"),
    "tflite": Format("model.tflite", "tflite"),
    "tflite_float16": Format("model-float16.tflite", "tflite"),
    "tflite_dynamic": Format("model-dynamic.tflite", "tflite"),
    "tflite_int8": Format("model-int8.tflite", "tflite", is_calibrated=True),
    "onnx": Format("model.onnx", "onnx", ("tf2onnx", "onnxruntime"), _ONNX),
    "torch": Format("model.pt", "torch", ("torch",), _TORCH),
    "torch_dynamic": Format("model-dynamic.pt", "torch", ("torch",), _TORCH),
    "torch_static": Format("model-static.pt", "torch", ("torch",), _TORCH, is_calibrated=True),
}


def chosen(names: Sequence[FormatName]) -> list[FormatName]:
    """The formats to make: those named, or all whose packages are installed.

    Raises:
        UsageError: one is named whose packages are not installed.
    """
    for name in names:
        if not FORMATS[name].is_installed:
            missing = ", ".join(package for package in FORMATS[name].packages if find_spec(package) is None)
            raise UsageError(f"The format {name} needs what is not installed: {missing}", received=f"--formats {','.join(names)}", accepted=f"{FORMATS[name].install}; or other formats")
    return list(names) or [name for name, form in FORMATS.items() if form.is_installed]
