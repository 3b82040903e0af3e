"""Reads the models folder into a `Shelf` (who is called what), and writes and removes model files in it."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from localai.core.errors import Conflict, InvalidModel, StorageFailed
from localai.core.model import Model
from localai.loader import name as names
from localai.loader.disk import Stamp, flush, replace
from localai.loader.document import read
from localai.loader.file import ModelFile
from localai.loader.inspect import part, siblings, unsplit
from localai.loader.magic import refuse
from localai.loader.manifest import manifests
from localai.loader.parse import Parsed, parse
from localai.loader.resolve import Headers, Resolver, unknown
from localai.loader.scan import Found

_DIGEST = re.compile(rb"sha256:([0-9a-f]{64})")


class Entry(NamedTuple):
    """A model and where it is written."""

    file: ModelFile
    model: Model
    path: Path
    """The YAML file, or the loose weights themselves."""
    loose: bool = False
    listed: bool = False


class Shelf(NamedTuple):
    """The models folder at one moment."""

    found: Found
    models: tuple[Model, ...]
    known: Mapping[str, Entry]
    """By name and by alias."""
    broken: Mapping[str, Entry]
    """By name: model files that are valid and whose weights are missing or refused."""
    problems: Mapping[str, str]
    notes: Mapping[str, tuple[str, ...]]


class Reader:
    """Reads one models folder; a file that did not change is not parsed again."""

    def __init__(self, folder: Path, resolver: Resolver, headers: Headers) -> None:
        self._folder = folder
        self._resolver = resolver
        self._headers = headers
        self._parsed: dict[Path, tuple[Stamp, list[Parsed] | str]] = {}

    def read(self, found: Found) -> Shelf:
        """Return what the found files are, every name given once."""
        making = _Making(found, self._folder)
        self._parsed = {path: known for path, known in self._parsed.items() if path in found.written}
        redirects: list[tuple[Path, Parsed]] = []
        for path, stamp in found.written.items():
            for parsed in self._parse(path, stamp, making):
                if parsed.redirect:
                    redirects.append((path, parsed))
                elif not parsed.disabled:
                    self._add_written(path, stamp, parsed, making)
        used = {Path(file) for entry in making.entries for file in entry.model.files.values()}
        used |= {Path(adapter.path) for entry in making.entries for adapter in entry.model.adapters}
        for path, stamp in found.loose.items():
            if path not in used:
                self._add_loose(path, stamp, making)
        for path, parsed in redirects:
            making.redirect(path, parsed)
        return making.shelf()

    def write(self, file: ModelFile, shelf: Shelf) -> None:
        """Write a model file into the folder.

        Raises:
            Conflict: A name of it belongs to another model, or it is one of a list.
            StorageFailed: The disk refused.
        """
        for name in (file.name, *file.aliases):
            owner = shelf.known.get(name) or shelf.broken.get(name)
            if owner is not None and owner.file.name != file.name:
                raise Conflict(f"`{name}` already belongs to the model `{owner.file.name}`.", param="name")
        old = shelf.known.get(file.name) or shelf.broken.get(file.name)
        if old is not None and old.listed:
            raise Conflict(f"`{file.name}` is one of a list in {old.path.name}; change it there.", param="name")
        path = self._folder / f"{names.stem(file.name)}.yaml"
        if old is not None and old.loose:
            if str(old.path.relative_to(self._folder)) not in file.files.values():
                raise Conflict(f"`{file.name}` already belongs to the file {old.path.name}.", param="name")
        elif old is not None:
            path = old.path
        if old is None and path.exists():
            raise Conflict(f"The file {path.name} is there already and holds something else.", param="name")
        replace(path, _yaml(file))

    def remove(self, entry: Entry, shelf: Shelf) -> set[str]:
        """Remove a model's file and its weights in the folder; return the digests that no file names any more.

        Raises:
            Conflict: It is one of a list.
            StorageFailed: The disk refused.
        """
        if entry.listed:
            raise Conflict(
                f"`{entry.file.name}` is one of a list in {entry.path.name}; remove it there.", param="model"
            )
        others = [other for other in (*shelf.known.values(), *shelf.broken.values()) if other.path != entry.path]
        kept = {path for other in others for path in _paths(other)}
        doomed = {path for path in _paths(entry) if path.is_relative_to(self._folder)} - kept
        try:
            digests = set[str]() if entry.loose else _digests(entry.path)
            entry.path.unlink(missing_ok=True)
            for path in doomed:
                path.unlink(missing_ok=True)
            flush(self._folder)
            for path in shelf.found.written:
                digests -= _digests(path) if digests and path != entry.path else set[str]()
        except OSError as error:
            raise StorageFailed(f"The files of `{entry.file.name}` could not be removed.") from error
        return digests

    def _parse(self, path: Path, stamp: Stamp, making: "_Making") -> list[Parsed]:
        known = self._parsed.get(path)
        if known is None or known[0] != stamp:
            try:
                known = (stamp, parse(path))
            except InvalidModel as error:
                known = (stamp, error.message)
            self._parsed[path] = known
        if isinstance(known[1], str):
            making.problem(path, known[1])
            return []
        return known[1]

    def _add_written(self, path: Path, stamp: Stamp, parsed: Parsed, making: "_Making") -> None:
        created = stamp.modified // 10**9
        try:
            model = self._resolver.model(parsed.file, created)
        except InvalidModel as error:
            making.problem(path, error.message)
            nothing = Model(name=parsed.file.name, engine="")
            making.broken[parsed.file.name] = Entry(parsed.file, nothing, path, listed=parsed.listed)
            return
        remarks = [*parsed.notes]
        ignored = unknown(parsed.file.options, manifests()[model.engine])
        remarks += [f"`options.{key[:100]}`: the engine `{model.engine}` has no such option." for key in ignored]
        if remarks:
            making.note(path, *remarks)
        making.add(Entry(parsed.file, model, path, listed=parsed.listed))

    def _add_loose(self, path: Path, stamp: Stamp, making: "_Making") -> None:
        if (part(path.name) or 1) > 1:
            return
        try:
            file = self._loose(path, making)
            if file is not None:
                making.add(Entry(file, self._resolver.model(file, stamp.modified // 10**9), path, loose=True))
        except InvalidModel as error:
            making.problem(path, error.message)

    def _loose(self, path: Path, making: "_Making") -> ModelFile | None:
        """The model file that stands for loose weights; None for what belongs to another model."""
        if path.suffix.lower() != ".gguf":
            raise refuse(path)
        if self._headers.get(path).kind != "model":
            return None
        name = making.unused(path)
        if name is None:
            raise InvalidModel("Its name cannot be a model's name; rename it.")
        return ModelFile(name=name, files={"model": path.relative_to(self._folder).as_posix()})


class _Making:
    """A shelf while it is filled."""

    def __init__(self, found: Found, folder: Path) -> None:
        self._found = found
        self._folder = folder
        self.entries: list[Entry] = []
        self.broken: dict[str, Entry] = {}
        self._known: dict[str, Entry] = {}
        self._problems: dict[str, str] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        for path, why in found.skipped.items():
            self.problem(path, why)

    def problem(self, path: Path, why: str) -> None:
        self._problems[path.relative_to(self._folder).as_posix()] = why

    def note(self, path: Path, *remarks: str) -> None:
        key = path.relative_to(self._folder).as_posix()
        self._notes[key] = self._notes.get(key, ()) + remarks

    def add(self, entry: Entry) -> None:
        """Take a model in under its name, unless the name is taken; aliases follow when all names are known."""
        taken = self._known.get(entry.file.name)
        if taken is not None:
            self.problem(entry.path, f"The name `{entry.file.name}` is taken by {taken.path.name}.")
            return
        self._known[entry.file.name] = entry
        self.entries.append(entry)

    def redirect(self, path: Path, parsed: Parsed) -> None:
        """Make the name of a file that is only an alias one of its target's."""
        target = self._known.get(parsed.redirect or "")
        if target is None:
            self.problem(path, f"It is an alias of `{parsed.redirect}`, which is not installed.")
            return
        aliases = (*target.model.aliases, parsed.file.name)
        changed = target._replace(model=_renamed(target.model, aliases))
        self.entries[self.entries.index(target)] = changed
        self._known[target.file.name] = changed

    def unused(self, path: Path) -> str | None:
        """A name for loose weights: their stem, with the folder in front or a number behind when that is taken."""
        stem = names.suggest(unsplit(path.name))
        if stem is None:
            return None
        inside = path.parent != self._folder
        folder = names.suggest(path.parent.name) if inside else None
        candidates = [stem, *([f"{folder}/{stem}"] if folder else []), *(f"{stem[:120]}-{n}" for n in range(2, 100))]
        taken = self._known.keys() | self.broken.keys()
        return next((name for name in candidates if name not in taken and names.valid(name)), None)

    def shelf(self) -> Shelf:
        """Give every alias that is free to its model and close the shelf."""
        owners = {entry.file.name: entry.file.name for entry in self.entries}
        for entry in self.entries:
            for alias in entry.model.aliases:
                owner = owners.setdefault(alias, entry.file.name)
                if owner != entry.file.name:
                    self.note(entry.path, f"The alias `{alias}` belongs to `{owner}` and is left out here.")
        final = {entry.file.name: self._free(entry, owners) for entry in self.entries}
        known = {name: final[owner] for name, owner in owners.items()}
        models = tuple(final[name].model for name in sorted(final))
        return Shelf(self._found, models, known, self.broken, self._problems, self._notes)

    @staticmethod
    def _free(entry: Entry, owners: Mapping[str, str]) -> Entry:
        """The entry with the aliases that are its own."""
        name = entry.file.name
        mine = tuple(alias for alias in entry.model.aliases if owners[alias] == name and alias != name)
        return entry if mine == entry.model.aliases else entry._replace(model=_renamed(entry.model, mine))


def _renamed(model: Model, aliases: tuple[str, ...]) -> Model:
    return msgspec.structs.replace(model, aliases=aliases)


def _paths(entry: Entry) -> Iterator[Path]:
    yield from (Path(path) for path in entry.model.files.values())
    yield from (Path(adapter.path) for adapter in entry.model.adapters)
    if entry.loose:
        yield from siblings(entry.path)


def _digests(path: Path) -> set[str]:
    """Every digest that a YAML file names, even if it is not valid otherwise."""
    return {found.decode() for found in _DIGEST.findall(path.read_bytes())}


def _yaml(file: ModelFile) -> bytes:
    """Write a model file out: long texts as blocks a person can read, where YAML keeps them exactly.

    Raises:
        InvalidModel: A text holds what YAML cannot carry.
    """
    fields = file.written()
    blocks = {key: _block(value) for key, value in fields.items()}
    for attempt in (blocks, fields):
        written = BytesIO()
        dumper: Any = YAML()
        dumper.width = 4096
        dumper.dump(attempt, written)
        with contextlib.suppress(InvalidModel):
            if read(written.getvalue(), file.name) == [fields]:
                return written.getvalue()
    raise InvalidModel("A text of the model file holds characters that cannot be written down.", param="template")


def _block(value: Any) -> Any:
    return LiteralScalarString(value) if isinstance(value, str) and "\n" in value else value
