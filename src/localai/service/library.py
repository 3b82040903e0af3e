"""Models made of what is here: copies, and new models over installed ones and over uploaded files."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from localai.core.caller import Caller
from localai.core.errors import Forbidden, InvalidModel, InvalidRequest, LocalAIError, ModelNotFound
from localai.core.model import Model
from localai.loader import name as names
from localai.loader.catalog import Catalog
from localai.loader.file import ModelFile
from localai.loader.inspect import inspect, part
from localai.loader.template import vet
from localai.service.intake import Intake
from localai.storage.blobs import Blobs, hexadecimal

Json = dict[str, Any]
T = TypeVar("T")


class Draft(NamedTuple):
    """What a new model is made of. What is None is as in `base`, or planned."""

    base: str | None = None
    """An installed model that it is a variant of."""
    files: tuple[tuple[str, str], ...] = ()
    """Names of files as the client calls them, with their digests (`sha256:...`)."""
    adapters: tuple[tuple[str, str], ...] = ()
    template: str | None = None
    system: str | None = None
    licence: str | None = None
    context: int | None = None
    parameters: Json = {}
    """Fields of `loader.file.Parameters`."""


class Library:
    """Writes model files. Every method acts for a caller and sees only models that caller may use."""

    def __init__(self, *, catalog: Catalog, blobs: Blobs, intake: Intake) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._intake = intake
        self._making = threading.Lock()
        """Held in threads only, while the files of one model become known under its name."""

    async def licence(self, model: Model) -> str:
        """The licence of an installed model; "" when nothing says it.

        Raises:
            ModelNotFound: It is not installed any more.
        """
        return await asyncio.to_thread(self._licence, model)

    async def copy(self, caller: Caller, source: str, destination: str) -> None:
        """Make the model `source` available as `destination` too; neither needs the other afterwards.

        Raises:
            ModelNotFound: There is no such model for this caller.
            InvalidRequest: `destination` cannot be a model's name.
            Forbidden: This caller may not use a model of that name.
            Conflict: It is another name of another model.
        """
        await asyncio.to_thread(self._locked, self._copy, caller, source, destination)

    async def create(self, caller: Caller, name: str, draft: Draft) -> Model:
        """Make the model `name`, in the place of one of that name.

        Raises:
            InvalidRequest: Something of the draft cannot be; `param` names it.
            InvalidModel: A file is damaged or hostile, or the template is.
            ModelNotFound, Forbidden, Conflict: As `copy`.
        """
        if draft.template is not None:
            await asyncio.to_thread(vet, draft.template)
        return await asyncio.to_thread(self._locked, self._create, caller, name, draft)

    def _locked(self, work: Callable[..., T], *given: Any) -> T:
        with self._making:
            return work(*given)

    def _licence(self, model: Model) -> str:
        known = self._catalog.file(model.name).licence
        header = None if known else self._header(model)
        return known or (header.licence if header is not None else None) or ""

    def _header(self, model: Model) -> Any:
        try:
            return self._catalog.header(model)
        except InvalidModel:
            return None

    def _copy(self, caller: Caller, source: str, destination: str) -> None:
        file = self._installed(caller, source)
        name = self._free(caller, destination)
        if name != file.name:
            self._own(file)
            self._write(file.model_copy(update={"name": name, "aliases": ()}))

    def _create(self, caller: Caller, name: str, draft: Draft) -> Model:
        name = self._free(caller, name)
        old = None if draft.base is None else self._installed(caller, draft.base)
        base = {} if old is None else old.written()
        fields = base | self._fields(draft, base) | {"name": name}
        if old is None or name != old.name:
            fields.pop("aliases", None)
        file = _file(fields)
        fresh = [digest for digest in self._digests(draft) if self._intake.keep(digest)]
        try:
            if old is not None and name != old.name:
                self._own(old)
            return self._write(file)
        except LocalAIError:
            for digest in set(fresh) - self._used():
                self._intake.give_back(digest)
            raise

    def _own(self, file: ModelFile) -> None:
        """Give loose weights a model file: once another model names them, they would not count as a model any more."""
        if self._catalog.is_loose(file.name):
            self._catalog.write(file)

    def _installed(self, caller: Caller, name: str) -> ModelFile:
        model = self._catalog.find(name)
        if not caller.allows(name):
            caller.require_model(model.name)
        return self._catalog.file(model.name)

    def _free(self, caller: Caller, name: str) -> str:
        """The name that a new model gets: that of an installed model that means the same, where there is one."""
        plain = names.parse(name).removesuffix(names.LATEST)
        if not (caller.allows(name) or caller.allows(plain)):
            raise Forbidden(f"This API key may not use a model `{plain}`, so it cannot make one.")
        try:
            found = self._catalog.find(name)
        except ModelNotFound:
            return plain
        return found.name if found.name in {name, plain, plain + names.LATEST} else plain

    def _fields(self, draft: Draft, base: Json) -> Json:
        fields: Json = {"template": draft.template, "system": draft.system, "licence": draft.licence}
        fields |= {"context": draft.context}
        fields = {key: value for key, value in fields.items() if value is not None}
        if draft.parameters:
            fields["parameters"] = {**base.get("parameters", {}), **draft.parameters}
        if draft.files:
            fields |= {"files": {**base.get("files", {}), **self._roles(draft.files)}, "source": None}
        if draft.adapters:
            fields["adapters"] = [*base.get("adapters", ()), *self._adapters(draft.adapters)]
        return fields

    def _roles(self, files: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Which file is which, by what they hold: the model (its parts in order), and its eyes and ears."""
        models: list[tuple[str, str]] = []
        roles: dict[str, str] = {}
        for name, digest in sorted(files):
            path = self._path(name, digest, "files")
            later = (part(PurePosixPath(name).name) or 1) > 1
            kind = "model" if later else inspect(path, self._parts(files, name)).kind
            match kind:
                case "model":
                    models.append((name, digest))
                case "mmproj":
                    roles["mmproj"] = digest
                case "adapter" | "other":
                    raise InvalidRequest(f"`{name[:100]}` is no model but an addition to one.", param="files")
        for number, (_, digest) in enumerate(models, 1):
            roles["model" if number == 1 else f"model.{number}"] = digest
        whole = [name for name, _ in models if part(PurePosixPath(name).name) is None]
        if len(whole) > 1 or (whole and len(models) > 1):
            raise InvalidRequest("`files` holds more than one model; make them one by one.", param="files")
        return roles

    def _parts(self, files: Sequence[tuple[str, str]], first: str) -> list[Any]:
        """The other parts of a split model, in order."""
        if part(PurePosixPath(first).name) is None:
            return []
        return [
            self._path(name, digest, "files")
            for name, digest in sorted(files)
            if (part(PurePosixPath(name).name) or 1) > 1
        ]

    def _adapters(self, files: Sequence[tuple[str, str]]) -> Iterator[Json]:
        for name, digest in files:
            if inspect(self._path(name, digest, "adapters")).kind != "adapter":
                raise InvalidRequest(f"`{name[:100]}` is not an adapter in GGUF.", param="adapters")
            yield {"name": names.suggest(PurePosixPath(name).stem) or "adapter", "file": digest}

    def _path(self, name: str, digest: str, param: str) -> Any:
        path = self._intake.path(digest)
        if path is None:
            raise InvalidRequest(
                f"The file {digest[:19]}... (`{name[:100]}`) is not here; upload it first to /api/blobs.", param=param
            )
        return path

    def _digests(self, draft: Draft) -> list[str]:
        return [digest for _, digest in (*draft.files, *draft.adapters)]

    def _write(self, file: ModelFile) -> Model:
        """Write a model file; what the one before it held and nobody needs any more is removed."""
        before = self._known(file.name)
        model = self._catalog.write(file)
        self._forget(before - _named(file))
        return model

    def _known(self, name: str) -> set[str]:
        try:
            return _named(self._catalog.file(name))
        except ModelNotFound:
            return set()

    def _forget(self, digests: set[str]) -> None:
        """Remove files that no model names; none at all while there are model files that cannot be read."""
        if not digests or self._catalog.problems():
            return
        for digest in digests - self._used():
            self._blobs.remove(digest)

    def _used(self) -> set[str]:
        return {digest for model in self._catalog.models() for digest in _named(self._catalog.file(model.name))}


def _named(file: ModelFile) -> set[str]:
    """The digests that a model file names."""
    written = (*file.files.values(), *(adapter.file for adapter in file.adapters))
    return {f"sha256:{hexadecimal(text)}" for text in written if text.startswith("sha256:")}


def _file(fields: Json) -> ModelFile:
    try:
        return ModelFile.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise InvalidRequest(f"`{place}` {first['msg'].removeprefix('Input ')}.", param=place or None) from None
