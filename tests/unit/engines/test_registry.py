"""Engines are found by name, and their manifests are read without importing them."""

import subprocess
import sys

import pytest

from localai.core.errors import ModelLoadFailed
from localai.engines import registry
from localai.engines.echo import EchoEngine


def test_manifests_tell_what_an_engine_takes():
    """The manifests of all installed engines can be read and name formats, tasks and options."""
    found = {name: registry.manifest(name) for name in registry.names()}
    assert {"echo", "llama"} <= set(found)
    assert found["llama"].formats == ("gguf",) and "cache_ram" in found["llama"].options
    assert not found["llama"].network


def test_reading_a_manifest_imports_nothing():
    """Neither the engine's module nor its libraries are imported to read a manifest."""
    script = (
        "import sys; from localai.engines import registry; registry.manifest('llama'); "
        "print([name for name in sys.modules if 'xllama' in name or name.endswith(('llama.engine', 'engines.echo'))])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_engine_is_made_by_name():
    """A built-in engine comes through the same entry points as any other; an unknown one is refused with the names."""
    assert isinstance(registry.create("echo"), EchoEngine)
    with pytest.raises(ModelLoadFailed, match=r"installed are: .*llama"):
        registry.create("nonsense")


def test_every_option_of_the_manifest_is_known():
    """The llama manifest lists exactly the options that the engine takes."""
    from localai.engines.llama import params

    assert set(registry.manifest("llama").options) == set(params._SETTERS)


def test_a_missing_library_is_named(monkeypatch):
    """An engine whose library is not installed says which one, and the extra that brings it."""

    def missing(name: str):
        raise ModuleNotFoundError("no", name="somelib")

    monkeypatch.setattr(registry.importlib, "import_module", missing)
    with pytest.raises(ModelLoadFailed, match="'somelib'"):
        registry.create("echo")
