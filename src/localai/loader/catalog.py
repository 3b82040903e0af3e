"""The catalog of installed models: what lies in the models folder, read again only when it changed."""

import difflib
import threading
import time
from collections.abc import Callable, Container
from pathlib import Path

from localai.core.errors import Conflict, ModelNotFound
from localai.core.model import Model
from localai.loader import name as names
from localai.loader import shelf
from localai.loader.file import ModelFile
from localai.loader.header import Header
from localai.loader.manifest import manifests
from localai.loader.resolve import Headers, Resolver
from localai.loader.scan import Found, scan
from localai.loader.shelf import Entry, Shelf
from localai.loader.template import vet
from localai.storage.blobs import Blobs

RECHECK = 1.0
"""Seconds for which a model file edited in place may go unnoticed; files that come or go are seen at once."""


class Catalog:
    """All models of one folder. Methods may block for file work when something changed; any thread may call them."""

    def __init__(self, folder: Path, blobs: Blobs, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Use the models of `folder` (made when missing, 0700) with their files in `blobs`."""
        folder = folder.absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._blobs = blobs
        self._clock = clock
        self._lock = threading.RLock()
        self._headers = Headers()
        self._resolver = Resolver(folder, blobs, self._headers, manifests)
        self._reader = shelf.Reader(folder, self._resolver, self._headers)
        self._shelf: Shelf | None = None
        self._checked = 0.0

    def models(self) -> tuple[Model, ...]:
        """Return every usable model, sorted by name. Cheap while nothing changed."""
        return self._current().models

    def fresh(self) -> bool:
        """Whether `models` and `find` answer from memory now, without reading files; takes no lock."""
        kept = self._shelf
        return kept is not None and self._clock() - self._checked < RECHECK and _untouched(kept.found)

    def problems(self) -> dict[str, str]:
        """Return what could not be used: file (relative to the models folder) -> why."""
        return dict(self._current().problems)

    def notes(self) -> dict[str, tuple[str, ...]]:
        """Return what model files say that has no effect here: file -> remarks."""
        return dict(self._current().notes)

    def find(self, name: str) -> Model:
        """Return the model of this name or alias (case counts), with `:latest` behind it or not.

        Raises:
            InvalidRequest: It cannot be a model's name.
            ModelNotFound: There is none; the message suggests the nearest names.
        """
        known = self._current().known
        entry = known.get(_spelled(name, known))
        if entry is not None:
            return entry.model
        names.parse(name)
        near = difflib.get_close_matches(name, known, n=2, cutoff=0.6) if len(known) <= 2000 else []
        hint = f" Did you mean {' or '.join(f'`{each}`' for each in near)}?" if near else ""
        raise ModelNotFound(f"The model `{name}` is not installed.{hint} `localai list` shows what is.", param="model")

    def header(self, model: Model) -> Header | None:
        """Return the header of the model's main file; None for an engine that has no GGUF file.

        Raises:
            InvalidModel: The file is damaged or hostile.
        """
        with self._lock:
            return self._resolver.header(model)

    def vet(self, model: Model) -> None:
        """Try the model's chat template before it is loaded (see `loader.template.vet`); call it in a thread.

        Raises:
            InvalidModel: The file or its template is not fit to be loaded.
        """
        header = self.header(model)
        template = model.template or (header.template if header is not None else None)
        if template:
            vet(template)

    def file(self, name: str) -> ModelFile:
        """Return the model file of this name or alias; for loose weights, the one that says the same.

        Raises:
            InvalidRequest, ModelNotFound: As `find`.
        """
        return self._current().known[self.find(name).name].file

    def is_loose(self, name: str) -> bool:
        """Whether the model of this name or alias is a file in the folder without a model file of its own.

        Raises:
            InvalidRequest, ModelNotFound: As `find`.
        """
        return self._current().known[self.find(name).name].loose

    def write(self, file: ModelFile) -> Model:
        """Install or change a model by writing its file, whole or not at all.

        Raises:
            Conflict: Its name or an alias already belongs to another model.
            InvalidModel: A file it names is missing, or no engine takes it.
            StorageFailed: The disk refused.
        """
        with self._lock:
            self._resolver.model(file, 0)
            self._reader.write(file, self._current())
            self._shelf = None
            return self.find(file.name)

    def remove(self, name: str) -> None:
        """Remove a model: its file, and the weights that no other model names.

        Raises:
            InvalidRequest, ModelNotFound: As `find`.
            Conflict: The name is an alias, or the model is one of a list in a file.
            StorageFailed: The disk refused.
        """
        with self._lock:
            current = self._current()
            name = name if name in current.broken else _spelled(name, current.known)
            entry = current.known.get(name) or current.broken.get(name)
            if entry is None:
                self.find(name)
                raise Conflict(f"`{name}` is being changed; try again.", param="model")
            if entry.file.name != name:
                raise Conflict(f"`{name}` is an alias of `{entry.file.name}`; remove that.", param="model")
            try:
                self._remove(entry, current)
            finally:
                self._shelf = None

    def _remove(self, entry: Entry, current: Shelf) -> None:
        for digest in self._reader.remove(entry, current):
            self._blobs.remove(digest)

    def _current(self) -> Shelf:
        with self._lock:
            now = self._clock()
            kept = self._shelf
            if kept is not None and now - self._checked < RECHECK and _untouched(kept.found):
                return kept
            found = scan(self._folder)
            if kept is None or found != kept.found:
                kept = self._reader.read(found)
            self._shelf, self._checked = kept, now
            return kept


def _spelled(name: str, known: Container[str]) -> str:
    """The spelling of a name, with `:latest` or without, that is known; else the name."""
    short = name.removesuffix(names.LATEST)
    return next((spelling for spelling in (name, short, short + names.LATEST) if spelling in known), name)


def _untouched(found: Found) -> bool:
    """Whether no file came to or went from any folder."""
    try:
        return all(folder.stat().st_mtime_ns == changed for folder, changed in found.folders.items())
    except OSError:
        return False
