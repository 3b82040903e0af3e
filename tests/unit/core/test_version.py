"""The version of the installed program."""

import re
from importlib import metadata

import pytest

from localai.core.version import version


@pytest.fixture(autouse=True)
def forgotten():
    """Each test looks the version up anew."""
    version.cache_clear()
    yield
    version.cache_clear()


def test_the_version_is_that_of_the_package():
    """The version is what the package was installed as."""
    assert version() == metadata.version("localai-server")
    assert re.match(r"\d+\.\d+", version())


def test_without_a_package_there_is_still_an_answer(monkeypatch):
    """Run from files that were never installed, the version is 0 instead of an error."""

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert version() == "0"
