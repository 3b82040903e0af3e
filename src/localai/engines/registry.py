"""Which engines there are: their manifests, read without importing them, and their classes, imported on demand."""

import importlib
import importlib.util
import tomllib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

import msgspec

from localai.core.errors import ModelLoadFailed
from localai.core.task import Value
from localai.engines.base import Engine

GROUP = "localai.engines.v1"


class Manifest(Value, frozen=True):
    """What an engine says of itself in `NAME.toml`."""

    name: str
    summary: str = ""
    formats: tuple[str, ...] = ()
    """Kinds of model files it reads ("gguf")."""
    tasks: tuple[str, ...] = ()
    extra: str = ""
    """The optional dependency group that installs it; empty when the core install has it."""
    network: bool = False
    """It may open internet connections; everything else runs without a network."""
    options: dict[str, str] = {}
    """Names of `options:` in a model file and what each means."""


def names() -> tuple[str, ...]:
    """Names of the engines that are installed, sorted."""
    return tuple(sorted(entry.name for entry in entry_points(group=GROUP)))


def manifest(name: str) -> Manifest:
    """Read an engine's manifest.

    Raises:
        ModelLoadFailed: There is no such engine, or it came without a readable manifest.
    """
    entry = _entry(name)
    for folder in _folders(entry.module):
        path = folder / f"{name}.toml"
        if path.is_file():
            try:
                return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Manifest)
            except (OSError, ValueError):
                break
    raise ModelLoadFailed(f"The engine {name!r} has no readable manifest ({name}.toml beside its module).")


def create(name: str) -> Engine:
    """Import an engine and make one that holds no model yet.

    Raises:
        ModelLoadFailed: There is no such engine, or a library that it needs is missing.
    """
    entry = _entry(name)
    try:
        module = importlib.import_module(entry.module)
    except ImportError as error:
        extra = manifest(name).extra
        hint = f" Install it with: pip install 'localai-server[{extra}]'." if extra else ""
        raise ModelLoadFailed(f"The engine {name!r} misses the library {error.name!r}.{hint}") from error
    made: Any = getattr(module, entry.attr)()
    return cast("Engine", made)


def _entry(name: str) -> EntryPoint:
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return entry
    known = ", ".join(names())
    raise ModelLoadFailed(f"There is no engine {name!r}; installed are: {known}.")


def _folders(module: str) -> list[Path]:
    """The folder of an engine's module, and the one above for an engine that is a package."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent
    return [folder, folder.parent]
