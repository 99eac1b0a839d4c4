"""Where a model's function is and what it takes, read from its source so that nothing has to be imported."""

from __future__ import annotations

import ast
import os
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from slotwise.errors import UsageError

# Image shape and number of classes come first, by position.
_GIVEN = 2


@dataclass(frozen=True)
class Definition:
    """A function that makes a model.

    `path` is the module's file, or the directory of the package it belongs to; `parameters` are those beyond image shape
    and classes.
    """

    module: str
    function: str
    path: Path
    parameters: tuple[str, ...]
    takes_any: bool


def find(module: str, function: str) -> Definition:
    """Looks for a function in the working directory and where Python finds modules.

    Raises:
        UsageError: there is no such module or function in it, or it cannot take image shape and classes.
    """
    received = f"--model {module}:{function}"
    top, file = _locate(module, received)
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"The module {module} cannot be read: {error}", received=received, accepted="a Python module") from error
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if function not in functions:
        raise UsageError(f"The module {module} defines no such function", received=received, accepted=", ".join(functions) or "a function in it")
    arguments = functions[function].args
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    if len(positional) < _GIVEN and not arguments.vararg:
        raise UsageError("A model's function takes image shape and number of classes", received=f"{function}({', '.join(positional)})", accepted=f"def {function}(image_shape, classes, *, …)")
    named = (*positional[_GIVEN:], *(argument.arg for argument in arguments.kwonlyargs))
    return Definition(module, function, top, named, arguments.kwarg is not None)


def _locate(module: str, received: str) -> tuple[Path, Path]:
    """The file or package directory of the first part of a dotted name, and the file of the last."""
    path = [os.getcwd(), *sys.path]
    places: list[Path] = []
    for part in module.split("."):
        spec = PathFinder.find_spec(part, path)
        path = list(spec.submodule_search_locations or []) if spec else []
        if spec is None or not (path or str(spec.origin).endswith(".py")):
            raise UsageError(f"There is no module {module}", received=received, accepted="a .py file in the working directory, on PYTHONPATH or in --py-files")
        places.append(Path(path[0]) if path else Path(str(spec.origin)))
    file = places[-1] / "__init__.py" if places[-1].is_dir() else places[-1]
    return places[0], file
