"""A search space from a TOML file: which settings are searched, and between which values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import TypeAdapter, ValidationError

from slotwise import storage
from slotwise.config import did_you_mean, read_toml
from slotwise.contracts.search import Axis, Sampling, Value
from slotwise.errors import UsageError
from slotwise.settings.training import TrainingSettings

SEARCHED = (
    "model", "batch_size", "optimizer", "momentum", "learning_rate", "schedule", "decay_rate", "warmup_epochs", "label_smoothing", "precision",
    "augment", "seed",
)  # fmt: skip
"""The settings that a space may vary, beside `model_parameters.NAME`."""

_PARAMETERS = "model_parameters"
_PRESETS = Path(__file__).parent / "spaces"
_RANGE = ("min", "max", "step", "sampling")
_FORM = "values = […], or min and max and, if wanted, step and sampling"
_INNER = 0.382  # of a range, where a setting of whole numbers shows that it takes no others
_MOST_TRIED = 1000


def read(space: str) -> list[Axis]:
    """The axes of a preset, or of a TOML file by its path or URI, in their order.

    Raises:
        UsageError: there is no such file, it is no TOML, it is empty, names something that cannot be searched, or a setting does not
            accept a value.
    """
    axes = [_axis(name, content) for name, content in _entries(_content(space))]
    if not axes:
        raise UsageError("The search space is empty", received=f"--space {space}", accepted=f"at least one of {', '.join(SEARCHED)} or model-parameters.NAME with {_FORM}")
    for axis in axes:
        if not axis.name.startswith(f"{_PARAMETERS}."):
            _check_accepted(axis)
    return axes


def presets() -> list[str]:
    """The names of the spaces that come with slotwise."""
    return sorted(file.stem for file in _PRESETS.glob("*.toml"))


def values_tried(axis: Axis) -> list[Value]:
    """All values of an axis where they are few, else its ends and one between them."""
    if axis.values:
        return axis.values
    low, high = axis.min, axis.max
    assert low is not None
    assert high is not None
    if isinstance(low, int) and isinstance(high, int) and axis.sampling == "linear" and isinstance(axis.step or 1, int):
        numbers = range(low, high + 1, int(axis.step or 1))
        return list(numbers) if len(numbers) <= _MOST_TRIED else [low, high]
    if all(isinstance(end, int) for end in (low, high)):
        return [low, high]
    return [low, low + _INNER * (high - low), high]


def applied(settings: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """Training settings by name, with a trial's values in their places."""
    changed = dict(settings)
    for name, value in values.items():
        if name.startswith(f"{_PARAMETERS}."):
            changed[_PARAMETERS] = {**changed[_PARAMETERS], name.partition(".")[2]: value}
        else:
            changed[name] = value
    return changed


def _content(space: str) -> dict[str, Any]:
    if space in presets():
        return read_toml((_PRESETS / f"{space}.toml").as_uri(), "The search space", received=f"--space {space}")
    accepted = f"{', '.join(presets())}, or an existing TOML file"
    uri = storage.normalise(space)
    if not storage.exists(uri) or storage.is_directory(uri):
        raise UsageError(f"The search space does not exist{did_you_mean(space, presets())}", received=f"--space {space}", accepted=accepted)
    return read_toml(uri, "The search space", received=f"--space {space}")


def _entries(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Each searched setting by its name, whether it is written as `a.b` in a table's name, in quotes or as a table in a table."""
    for key, value in content.items():
        name = before + key.replace("-", "_")
        if name == _PARAMETERS and isinstance(value, dict):
            yield from _entries(value, f"{name}.")
        else:
            yield name, value


def _axis(name: str, content: Any) -> Axis:
    known = [*SEARCHED, f"{_PARAMETERS}.NAME"]
    if name not in SEARCHED and not (name.startswith(f"{_PARAMETERS}.") and name != f"{_PARAMETERS}."):
        what = "cannot be searched" if name in TrainingSettings.model_fields else f"is no setting of training{did_you_mean(name, known)}"
        raise UsageError(f"The search space has '{name}', which {what}", received=f"{name} = {content!r}", accepted=", ".join(known).replace("_", "-"))
    if not isinstance(content, dict) or set(content) - {"values", *_RANGE} or ("values" in content) == bool(set(content) & set(_RANGE)):
        raise UsageError(f"The search space does not say what '{name}' may be", received=f"{name} = {content!r}", accepted=_FORM)
    return _of_values(name, content["values"]) if "values" in content else _of_range(name, content)


def _of_values(name: str, values: Any) -> Axis:
    received = f"{name} = {values!r}"
    if not isinstance(values, list) or not values:
        raise UsageError(f"The search space gives '{name}' no values", received=received, accepted="a list of at least one value")
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        values = [float(value) for value in values]
    elif len(kinds) > 1 or not kinds <= set(get_args(Value)):
        raise UsageError(f"The values of '{name}' are not of one kind", received=received, accepted="numbers, or texts, or true and false")
    if len(set(values)) < len(values):
        raise UsageError(f"A value of '{name}' is there more than once", received=received, accepted="each value once")
    return Axis(name=name, values=values)


def _of_range(name: str, content: Mapping[str, Any]) -> Axis:
    received = f"{name} = {dict(content)!r}"
    low, high, step, sampling = (content.get(key) for key in _RANGE)
    numbers = [number for number in (low, high, step) if number is not None]
    if low is None or high is None or not all(type(number) in (int, float) for number in numbers) or not low < high:
        raise UsageError(f"The range of '{name}' is none", received=received, accepted="min and max, two numbers of which max is the higher, and step, a number")
    if sampling not in (None, *get_args(Sampling)):
        raise UsageError(f"The sampling of '{name}' is not known", received=received, accepted=", ".join(get_args(Sampling)))
    is_linear = sampling in (None, "linear")
    if not is_linear and low <= 0:
        raise UsageError(f"A {sampling} range begins above 0", received=received, accepted="min above 0")
    if step is not None and step <= (0 if is_linear else 1):
        raise UsageError(f"The step of '{name}' leads nowhere", received=received, accepted=f"a step above {0 if is_linear else 1}")
    return Axis(name=name, min=low, max=high, step=step, sampling=sampling or "linear")


def _check_accepted(axis: Axis) -> None:
    """Sees that a setting takes the values of its axis."""
    field = TrainingSettings.model_fields[axis.name]
    accepts: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]
    for value in values_tried(axis):
        try:
            accepts.validate_python(value)
        except ValidationError as error:
            extra: dict[str, Any] = field.json_schema_extra  # type: ignore[assignment]
            why = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UsageError(f"The search space gives '{axis.name}' a value that it does not take: {why}", received=f"{axis.name} = {value!r}", accepted=extra["accepted"]) from error
