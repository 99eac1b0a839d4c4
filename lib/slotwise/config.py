"""One settings model, three ways in: flags, a TOML file, Python's arguments; each mistake said in one line before Spark starts."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, NoReturn, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slotwise import storage
from slotwise.errors import SlotwiseError, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SECTIONS = ("prepare", "training", "train_distributed", "compare", "study", "audit", "predict", "evaluate", "tune", "export", "doctor")


class Settings(BaseModel):
    """Base of every job's settings: frozen, no unknown keys, each field a flag and a TOML key.

    A field's text on the command line is what pydantic parses; a TOML value may have its own type. `sections` are the
    tables of a TOML file that the job reads besides the keys before all tables; the later wins.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    job: ClassVar[str]
    sections: ClassVar[tuple[str, ...]]
    summary: ClassVar[str]
    examples: ClassVar[str]


SettingsT = TypeVar("SettingsT", bound=Settings)

_FLAG = re.compile(r"(value of )?--(no-)?([a-z]+(?:-[a-z]+)*)")


def option(default: Any, help: str, *, accepted: str, metavar: str | None = None, **constraints: Any) -> Any:
    """A settings field: its help line, and what an error message says is accepted."""
    extra: dict[str, Any] = {"accepted": accepted, "metavar": metavar or accepted}
    return Field(default, description=help, json_schema_extra=extra, **constraints)


def load(model: type[SettingsT], arguments: Sequence[str]) -> SettingsT:
    """Settings from command-line arguments and the TOML file that `--config` names; flags win.

    Raises:
        UsageError: an unknown flag or key, a value that is not accepted, a file that cannot be read.
    """
    flags = vars(_parser(model).parse_args(list(arguments)))
    config = flags.pop("config", None)
    values = {**(_from_toml(model, config) if config else {}), **flags}
    return _validated(model, values)


def from_arguments(model: type[SettingsT], arguments: Mapping[str, Any]) -> SettingsT:
    """Settings from Python's arguments, which have the names of the fields.

    Raises:
        UsageError: an unknown name, or a value that is not accepted.
    """
    for name, value in arguments.items():
        if name not in model.model_fields:
            raise UsageError(f"There is no argument '{name}'{did_you_mean(name, model.model_fields)}", received=f"{name}={value!r}", accepted=", ".join(_names(model)))
    return _validated(model, arguments)


def read_toml(uri: str, what: str, *, received: str) -> dict[str, Any]:
    """A TOML file that is there.

    Args:
        what: what an error calls the file.
        received: how the user named it.

    Raises:
        UsageError: it is no TOML.
    """
    try:
        return tomllib.loads(storage.read_text(uri))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{what} is not TOML: {error}", received=received, accepted="a TOML file") from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to add to the news that a name is not known: the known name that is most like it, if one is."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


@contextmanager
def said_in_python(*models: type[Settings], spell: Callable[[str], str] = str) -> Iterator[None]:
    """Inside, an error names the settings of these models as Python's arguments: `batch_size` for --batch-size, `overwrite=True` for --overwrite.

    Args:
        spell: how an argument is spelled whose field's name is given.
    """
    fields = {name: field for model in models for name, field in model.model_fields.items()}

    def argument(flag: re.Match[str]) -> str:
        before, no, name = flag[1] or "", flag[2] or "", flag[3].replace("-", "_")
        if name not in fields:
            return flag[0]
        is_switch = fields[name].annotation is bool and not before
        return before + spell(name) + (f"={not no}" if is_switch else "")

    try:
        yield
    except SlotwiseError as error:
        error.args = (_FLAG.sub(argument, str(error)),)
        raise


class Change(NamedTuple):
    """A setting that is not what it was, as a flag with its value now and then."""

    now: str
    then: str


def first_change(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> Change | None:
    """The first wanted setting, in JSON values, that differs from the recorded one; what is not recorded counts as equal."""
    for name, value in wanted.items():
        if recorded.get(name, value) != value:
            flag = f"--{name.replace('_', '-')}"
            return Change(f"{flag} {value}", f"{flag} {recorded[name]}")
    return None


def run_job(main: Any) -> NoReturn:
    """Calls a job's `main(arguments)` and ends the process with its exit code; explained errors have no traceback."""
    try:
        main(sys.argv[1:])
    except SlotwiseError as error:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    sys.exit(0)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError("The command line is wrong", received=message, accepted="the flags that --help lists")


def _parser(model: type[Settings]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"spark-submit jobs/{model.job}.py",
        description=model.summary,
        epilog=f"examples:\n{model.examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with any of these flags as keys; flags win")
    for field_name in _names(model):
        field = model.model_fields[field_name]
        extra: dict[str, Any] = field.json_schema_extra  # type: ignore[assignment]
        shown = "" if field.default in (None, "", [], {}) else f" (default: {_as_text(field.default)})"
        help_text = f"{field.description}{shown}".replace("%", "%%")
        flag = "--" + field_name.replace("_", "-")
        if field.annotation is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=help_text)
        elif _takes_many(field.annotation):
            parser.add_argument(flag, nargs="+", metavar=extra["metavar"], help=help_text)
        else:
            parser.add_argument(flag, metavar=extra["metavar"], help=help_text)
    return parser


def _names(model: type[Settings]) -> list[str]:
    """The fields, those first that a job adds to what it shares with others: its users look for them first."""
    return sorted(model.model_fields, key=lambda name: name not in model.__annotations__)


def _takes_many(annotation: Any) -> bool:
    return any(get_origin(part) in (list, dict) for part in (annotation, *get_args(annotation)))


def _as_text(value: Any) -> str:
    return ",".join(str(part) for part in value) if isinstance(value, (list, tuple)) else str(value)


def _from_toml(model: type[Settings], path: str) -> dict[str, Any]:
    uri = storage.normalise(path)
    if not storage.exists(uri):
        raise UsageError("The --config file does not exist", received=path, accepted="an existing TOML file")
    content = read_toml(uri, "The --config file", received=path)
    sections = {name: content.pop(name) for name in SECTIONS if isinstance(content.get(name), dict)}
    values = {key.replace("-", "_"): value for table in (content, *(sections.get(name, {}) for name in model.sections)) for key, value in table.items()}
    for key in values:
        if key not in model.model_fields:
            known = [name.replace("_", "-") for name in _names(model)]
            hint = did_you_mean(key.replace("_", "-"), known)
            raise UsageError(f"The key '{key}' in {path} is not known{hint}", received=f"{key} = {values[key]!r}", accepted=", ".join(known))
    return values


def _validated(model: type[SettingsT], values: Mapping[str, Any]) -> SettingsT:
    try:
        return model(**values)
    except ValidationError as error:
        raise _usage_error(model, error) from error


def _usage_error(model: type[Settings], error: ValidationError) -> UsageError:
    first = error.errors()[0]
    field_name = str(first["loc"][0])
    extra: dict[str, Any] = model.model_fields[field_name].json_schema_extra  # type: ignore[assignment]
    what = first["msg"].removeprefix("Value error, ")
    flag = "--" + field_name.replace("_", "-")
    cause = getattr(first.get("ctx", {}).get("error"), "__cause__", None)
    if isinstance(cause, UsageError):
        return UsageError(f"The value of {flag} is wrong: {cause.what}", received=repr(first["input"]), accepted=cause.accepted)
    return UsageError(f"The value of {flag} is wrong: {what}", received=repr(first["input"]), accepted=extra["accepted"])
