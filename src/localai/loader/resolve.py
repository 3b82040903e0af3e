"""From a model file to a `Model`: every file found and checked for being there, engine and tasks filled in."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from localai.core.errors import InvalidModel, InvalidRequest
from localai.core.model import Adapter, Model
from localai.loader import magic
from localai.loader.disk import Stamp, inside, stamp
from localai.loader.file import ModelFile
from localai.loader.header import Header, tasks
from localai.loader.inspect import inspect, siblings
from localai.loader.manifest import Manifest, engine_for
from localai.storage.blobs import Blobs, hexadecimal

_REMEMBERED = 4096


class Headers:
    """Remembers what inspection said of a file until the file changes. Refusals are remembered too."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Stamp, Header | str]] = {}

    def get(self, path: Path, parts: tuple[Path, ...] = ()) -> Header:
        """Return the header of a GGUF file.

        Raises:
            InvalidModel: As `inspect` does, or there is no such file.
        """
        now = stamp(path)
        if now is None:
            raise InvalidModel(f"The model file {path.name} is missing.")
        known = self._known.get(path)
        if known is None or known[0] != now:
            known = (now, self._look(path, parts))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[path] = known
        if isinstance(known[1], str):
            raise InvalidModel(known[1])
        return known[1]

    @staticmethod
    def _look(path: Path, parts: tuple[Path, ...]) -> Header | str:
        try:
            return inspect(path, parts)
        except InvalidModel as error:
            return error.message


class Resolver:
    """Resolves model files against one models folder and one store."""

    def __init__(
        self, folder: Path, blobs: Blobs, headers: Headers, manifests: Callable[[], Mapping[str, Manifest]]
    ) -> None:
        self._folder = folder
        self._blobs = blobs
        self._headers = headers
        self._manifests = manifests

    def model(self, file: ModelFile, created: int) -> Model:
        """Return the model that a file describes.

        Raises:
            InvalidModel: A file of it is missing, or no installed engine takes it.
        """
        paths = {role: self._path(written) for role, written in file.files.items()}
        paths |= _parts(paths)
        adapters = tuple(
            Adapter(name=adapter.name, path=str(self._path(adapter.file)), scale=adapter.scale)
            for adapter in file.adapters
        )
        engine = self._engine(file, paths)
        return Model(
            name=file.name,
            engine=engine.name,
            files={role: str(path) for role, path in paths.items()},
            digests={role: hexadecimal(text) for role, text in file.files.items() if text.startswith("sha256:")},
            tasks=file.tasks or self._tasks(engine, paths),
            aliases=file.aliases,
            template=file.template,
            system=file.system,
            parameters=file.parameters.sampling(),
            max_tokens=file.parameters.max_tokens,
            stop=file.parameters.stop,
            adapters=adapters,
            context=file.context,
            slots=file.slots,
            threads=file.threads,
            keep_alive=file.keep_alive,
            options=_known(file.options, engine),
            size=_size(paths, adapters),
            created=created,
        )

    def header(self, model: Model) -> Header | None:
        """Return the header of a model's main file; None when it has no file."""
        main = model.files.get("model")
        if main is None:
            return None
        return self._headers.get(Path(main), tuple(Path(path) for path in parts(model.files)))

    def _path(self, written: str) -> Path:
        if not written.startswith("sha256:"):
            if "://" in written:
                raise InvalidModel("A file of the model is an address; fetch it first with `localai pull`.")
            return inside(self._folder, written)
        try:
            path = self._blobs.path(written)
        except InvalidRequest as error:
            raise InvalidModel(error.message, param="files") from error
        if stamp(path) is None:
            raise InvalidModel(f"The file {written[:19]}... is not in the store; `localai pull` brings it again.")
        return path

    def _engine(self, file: ModelFile, paths: Mapping[str, Path]) -> Manifest:
        name = file.engine
        if name is None:
            if "model" not in paths:
                raise InvalidModel(f"`{file.name}` names neither an engine nor a file with the role `model`.")
            name = engine_for(magic.kind(paths["model"]))
            if name is None:
                raise magic.refuse(paths["model"])
        manifest = self._manifests().get(name)
        if manifest is None:
            known = ", ".join(self._manifests())
            raise InvalidModel(f"No engine `{name}` is installed; there is {known}.", param="engine")
        if manifest.formats and "model" not in paths:
            raise InvalidModel(f"The engine `{name}` needs a file with the role `model`.", param="files")
        return manifest

    def _tasks(self, engine: Manifest, paths: Mapping[str, Path]) -> tuple[str, ...]:
        main = paths.get("model")
        if main is None or magic.kind(main) != "gguf":
            return engine.tasks
        rest = tuple(Path(path) for path in parts({role: str(path) for role, path in paths.items()}))
        found = tasks(self._headers.get(main, rest))
        if not found:
            raise InvalidModel(f"{main.name} is no model by itself (an adapter or a projector).")
        if "mmproj" not in paths or "chat" not in found:
            return found
        senses = self._headers.get(paths["mmproj"])
        return found + ("vision",) * senses.vision + ("hearing",) * senses.hearing


def parts(files: Mapping[str, str]) -> list[str]:
    """Return the second and further parts of a split model (roles "model.2", "model.3", ...) in order."""
    numbered = {int(role[6:]): path for role, path in files.items() if role.startswith("model.") and role[6:].isdigit()}
    return [numbered[number] for number in sorted(numbered)]


def unknown(options: Mapping[str, Any], engine: Manifest) -> tuple[str, ...]:
    """Return the options that the engine does not list."""
    return tuple(key for key in options if key not in engine.options)


def _known(options: Mapping[str, Any], engine: Manifest) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key in engine.options}


def _parts(paths: Mapping[str, Path]) -> dict[str, Path]:
    """The other parts of a split model whose names tell them."""
    main = paths.get("model")
    if main is None:
        return {}
    return {f"model.{number}": path for number, path in enumerate(siblings(main)[1:], 2)}


def _size(paths: Mapping[str, Path], adapters: tuple[Adapter, ...]) -> int:
    files = {*paths.values(), *(Path(adapter.path) for adapter in adapters)}
    return sum(found.size for path in files if (found := stamp(path)) is not None)
