"""Engine manifests (`NAME.toml` beside each engine): what an engine takes, known without importing it."""

import functools
import importlib.metadata
import importlib.resources
import tomllib
from typing import Any

from localai.core.task import Value

GROUP = "localai.engines.v1"
_FOLDER = "localai.engines"


class Manifest(Value, frozen=True):
    """What an engine declares. `options` maps each option's name to what it means."""

    name: str
    summary: str = ""
    formats: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    extra: str = ""
    network: bool = False


@functools.cache
def manifests() -> dict[str, Manifest]:
    """Return the manifests of all installed engines by name; one that cannot be read is left out."""
    texts = [
        entry.read_text(encoding="utf-8")
        for entry in importlib.resources.files(_FOLDER).iterdir()
        if entry.name.endswith(".toml")
    ]
    for entry in importlib.metadata.entry_points(group=GROUP):
        outside = not entry.module.startswith(f"{_FOLDER}.")
        if outside and entry.dist is not None:
            texts.append(_beside(entry.dist, entry.module, entry.name))
    found = [manifest for text in texts if (manifest := _parsed(text)) is not None]
    return {manifest.name: manifest for manifest in sorted(found, key=lambda manifest: manifest.name)}


def engine_for(form: str) -> str | None:
    """Return the engine that takes files of this format ("gguf"), or None."""
    return next((manifest.name for manifest in manifests().values() if form in manifest.formats), None)


def _beside(dist: importlib.metadata.Distribution, module: str, name: str) -> str:
    """The manifest next to an outside engine's module, found among the files of its package."""
    wanted = "/".join([*module.split(".")[:-1], f"{name}.toml"])
    return dist.read_text(f"../{wanted}") or ""


def _parsed(text: str) -> Manifest | None:
    try:
        read = tomllib.loads(text)
        return Manifest(
            name=str(read["name"]),
            summary=str(read.get("summary", "")),
            formats=tuple(read.get("formats", ())),
            tasks=tuple(read.get("tasks", ())),
            options=dict(read.get("options", {})),
            extra=str(read.get("extra", "")),
            network=bool(read.get("network", False)),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError):
        return None
