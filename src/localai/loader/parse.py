"""From the bytes of a YAML file to checked model files, with messages that name file, line and field."""

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from localai.core.errors import InvalidModel
from localai.loader import document
from localai.loader.file import ModelFile
from localai.loader.upstream import WRITTEN_AS, Understood, translate


class Parsed(NamedTuple):
    """One model of a YAML file."""

    file: ModelFile
    notes: tuple[str, ...] = ()
    redirect: str | None = None
    disabled: bool = False
    listed: bool = False
    """The file holds a list of models, of which this is one."""


def parse(path: Path) -> list[Parsed]:
    """Read and check a YAML file.

    Raises:
        InvalidModel: It cannot be read, is no YAML, or a field is wrong.
    """
    try:
        with path.open("rb") as file:
            data = file.read(document.LENGTH_LIMIT + 1)
    except OSError as error:
        raise InvalidModel(f"{path.name} cannot be read.") from error
    entries = document.read(data, path.name)
    several = len(entries) > 1
    return [_one(entry, data, path.name, index if several else None) for index, entry in enumerate(entries)]


def _one(entry: dict[str, Any], data: bytes, name: str, index: int | None) -> Parsed:
    understood = translate(entry)
    try:
        file = ModelFile.model_validate(understood.fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidModel(_message(first["loc"], first["msg"], entry, data, name, index)) from error
    return Parsed(file, _kept(understood), understood.redirect, understood.disabled, index is not None)


def _kept(understood: Understood) -> tuple[str, ...]:
    return understood.notes[:100]


def _message(
    where: tuple[int | str, ...], problem: str, entry: dict[str, Any], data: bytes, name: str, index: int | None
) -> str:
    """Tell the field as the person wrote it, and its line."""
    place = list(where)
    theirs = WRITTEN_AS.get(str(place[0])) if place else None
    if theirs is not None and place[0] not in entry and theirs in entry:
        place[0] = theirs
    steps = tuple(place) if index is None else (index, *place)
    line = document.line(data, steps)
    at = f", line {line}" if line is not None else ""
    field = ".".join(str(step) for step in place)[:200]
    return f"{name}{at}, `{field}`: {problem[:1].lower()}{problem[1:]}."
