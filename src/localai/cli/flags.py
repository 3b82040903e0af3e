"""The flags of `localai serve`, made from the fields of Settings: a setting is described in one place only."""

import inspect
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import typer

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_SIMPLE = (bool, int, float, str, Path)
_METAVARS: dict[Any, str] = {int: "NUMBER", float: "NUMBER", str: "TEXT", Path: "FOLDER"}


def parameters() -> list[inspect.Parameter]:
    """One keyword parameter for each setting, as Typer reads them; None means that the flag was not given."""
    from localai.config import Settings

    return [_parameter(name, field) for name, field in Settings.model_fields.items()]


def kind(field: "FieldInfo") -> Any:
    """The type a flag takes: one of bool, int, float, str and Path, or a list of texts."""
    found = field.annotation
    if get_origin(found) in (Union, UnionType):
        found = next(case for case in get_args(found) if case is not type(None))
    if get_origin(found) in (tuple, list, set, frozenset):
        return list[str]
    return found if found in _SIMPLE else str


def default(field: "FieldInfo") -> str:
    """The default as a person reads it; nothing where the description tells what None means."""
    if field.default_factory is not None:
        return "the user's data folder"
    match field.default:
        case None | ():
            return ""
        case bool(value):
            return "yes" if value else "no"
        case float(value):
            return f"{value:g}"
        case value:
            return str(value)


def _parameter(name: str, field: "FieldInfo") -> inspect.Parameter:
    flag = f"--{name.replace('_', '-')}"
    taken = kind(field)
    names = f"{flag}/--no-{flag.removeprefix('--')}" if taken is bool else flag
    several = " Repeat the flag for several." if taken == list[str] else ""
    shown = default(field)
    bracket = f" [{shown}]" if shown else ""
    option = typer.Option(
        names, help=(field.description or "") + several + bracket, metavar=_METAVARS.get(taken, "TEXT")
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[taken | None, option]
    )
