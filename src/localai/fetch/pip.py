"""What pip is configured with: indexes, folders of wheels, certificates, proxies; read as pip reads it."""

import configparser
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from yarl import URL

from localai.core.errors import FetchFailed
from localai.core.task import Value
from localai.fetch.address import Origin, Route, origin, parse
from localai.fetch.proxies import NONE, Proxies, from_environment

_SECTIONS = ("global", "install")
_FILE_LIMIT = 2**20


class Index(Value, frozen=True):
    """A package index: an http(s) or file: URL without a login, and the login by itself."""

    url: str
    login: tuple[str, str] | None = None
    """User name and password."""


@cache
def default_index() -> str:
    """The `index-url` that pip takes when nothing is configured, asked of pip itself.

    Raises:
        FetchFailed: There is no pip to ask.
    """
    try:
        return str(importlib.import_module("pip._internal.models.index").PyPI.simple_url)
    except (ImportError, AttributeError):
        raise FetchFailed("No package index is known: set PIP_INDEX_URL, or install pip beside LocalAI.") from None


class Pip(Value, frozen=True):
    """The part of pip's configuration that says where packages come from."""

    indexes: tuple[Index, ...] = ()
    links: tuple[str, ...] = ()
    """`find-links`: folders, or URLs of pages with links."""
    certificates: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    """`trusted-host`: hosts whose certificate is not checked."""
    proxies: Proxies = NONE

    def route(self, index: Index) -> Route:
        """What a request to this index may do: its origin is the operator's choice, so it may have any address."""
        places = frozenset[Origin]() if index.url.startswith("file:") else frozenset((origin(parse(index.url)),))
        return Route(trusted=places, beside=places, unverified=frozenset(self.unverified), proxies=self.proxies)


def read(environment: Mapping[str, str], *, home: Path | None = None, prefix: Path | None = None) -> Pip:
    """Read the configuration files and PIP_* variables.

    Args:
        environment: The variables, usually `os.environ`.
        home: The user's home folder, by default the real one.
        prefix: The environment's folder (where a virtual environment has its `pip.conf`), by default the running one.

    Raises:
        FetchFailed: A configuration file cannot be read.
    """
    options: dict[str, str] = {}
    for file in _files(environment, home or Path.home(), prefix or Path(sys.prefix)):
        options.update(_options(file))
    for name, value in environment.items():
        if name.startswith("PIP_") and value:
            options[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    off = options.get("no-index", "").lower() in {"1", "true", "yes", "on"}
    addresses = [options.get("index-url") or default_index(), *options.get("extra-index-url", "").split()]
    authorities = [options.get("cert"), environment.get("REQUESTS_CA_BUNDLE"), environment.get("CURL_CA_BUNDLE")]
    return Pip(
        indexes=() if off else tuple(_index(address) for address in addresses),
        links=tuple(options.get("find-links", "").split()),
        certificates=tuple(dict.fromkeys(file for file in authorities if file and Path(file).is_file())),
        unverified=tuple(options.get("trusted-host", "").split()),
        proxies=from_environment(environment, options.get("proxy")),
    )


def _files(environment: Mapping[str, str], home: Path, prefix: Path) -> Iterator[Path]:
    """The configuration files from the weakest to the strongest."""
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return
    if sys.platform == "darwin":
        yield Path("/Library/Application Support/pip/pip.conf")
    for folder in reversed(environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)):
        yield Path(folder or "/etc/xdg") / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    if not (named and Path(named).is_file()):
        yield home / ".pip" / "pip.conf"
        mac = home / "Library" / "Application Support" / "pip"
        config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip"
        yield (mac if sys.platform == "darwin" and mac.is_dir() else config) / "pip.conf"
    yield prefix / "pip.conf"
    if named:
        yield Path(named)


def _options(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    parser = configparser.RawConfigParser()
    try:
        with file.open(encoding="utf-8") as stream:
            parser.read_string(stream.read(_FILE_LIMIT))
    except (OSError, UnicodeError, configparser.Error):
        raise FetchFailed(
            f"pip's configuration file {file} cannot be read; correct it or set PIP_CONFIG_FILE."
        ) from None
    found: dict[str, str] = {}
    for section in _SECTIONS:
        if parser.has_section(section):
            found.update({name.lower().replace("_", "-"): value for name, value in parser.items(section)})
    return found


def _index(address: str) -> Index:
    """Take the login out of an index's address."""
    if address.startswith("file:"):
        return Index(url=address)
    try:
        url = URL(address)
        login = None if url.user is None else (url.user, url.password or "")
        bare = str(url.with_user(None))
    except ValueError:
        raise FetchFailed("pip's `index-url` or `extra-index-url` cannot be read; correct it.") from None
    return Index(url=bare.rstrip("/"), login=login)
