"""Finding a wheel: in the folders and at the package indexes that pip is configured with."""

import asyncio
import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import url2pathname

import msgspec

from localai.core.errors import FetchFailed, FetchRefused, LocalAIError, NotFound
from localai.fetch.address import Route, origin, parse
from localai.fetch.http import Client
from localai.fetch.pip import Index, Pip
from localai.fetch.remote import Remote

PAGE_LIMIT = 64 * 2**20
"""Bytes of the largest index page that is read."""
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"  # PEP 691
_HEX = re.compile(r"[0-9a-f]{64}")


class _File(msgspec.Struct):
    filename: str
    url: str
    hashes: dict[str, str] = {}
    size: int | None = None


class _Project(msgspec.Struct):
    files: list[_File]


async def find(name: str, version: str, client: Client, pip: Pip) -> Remote:
    """The wheel of exactly this version, from the first configured place that has it (folders come first).

    Raises:
        NotFound: No place has it.
        FetchFailed: No place has it, and some place could not be asked.
    """
    failed: LocalAIError | None = None
    for place in (*pip.links, *pip.indexes):
        try:
            files = await (_links(place, client, pip) if isinstance(place, str) else _index(place, name, client, pip))
        except FetchFailed as error:
            failed = failed or error
            continue
        wheels = [file for file in files if _matches(file.name, name, version)]
        if wheels:
            return min(wheels, key=lambda file: not file.name.endswith("-any.whl"))
    raise failed or NotFound(f"No package index here has a wheel of {name}=={version}.", param="source")


def _matches(filename: str, name: str, version: str) -> bool:
    parts = filename.removesuffix(".whl").split("-")
    return (
        filename.endswith(".whl")
        and len(parts) in {5, 6}
        and canonical(parts[0]) == canonical(name)
        and _release(parts[1]) == _release(version)
    )


def canonical(name: str) -> str:
    """A package name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _release(version: str) -> str:
    return re.sub(r"[-_.]+", ".", version.lower().removeprefix("v"))


async def _links(place: str, client: Client, pip: Pip) -> list[Remote]:
    """What a `find-links` entry offers: the wheels of a folder, or the links of a page."""
    if place.startswith(("http://", "https://")):
        return await _page(Index(url=place), place, client, pip)
    return await asyncio.to_thread(_folder, place)


def _folder(place: str) -> list[Remote]:
    try:
        folder = local(place) if place.startswith("file:") else Path(place).expanduser()
        return [Remote(url=file.absolute().as_uri(), name=file.name) for file in sorted(folder.glob("*.whl"))]
    except (OSError, RuntimeError):
        raise FetchFailed("A folder of pip's `find-links` cannot be read.") from None


async def _index(index: Index, name: str, client: Client, pip: Pip) -> list[Remote]:
    page = f"{index.url.rstrip('/')}/{canonical(name)}/"
    if not page.startswith("file:"):
        return await _page(index, page, client, pip)
    file = local(page) / "index.html"
    text = await asyncio.to_thread(_text, file)
    return _read_html(text, file.as_uri(), lambda url: Remote(url=url, name="")) if text else []


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")[:PAGE_LIMIT]
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeError):
        raise FetchFailed("A page of a package index on this machine cannot be read.") from None


async def _page(index: Index, page: str, client: Client, pip: Pip) -> list[Remote]:
    route, secrets = pip.route(index), _secrets(index)
    async with client.get(page, headers={"Accept": _ACCEPT}, secrets=secrets, route=route) as reply:
        if reply.status == 404:
            return []
        if reply.status != 200:
            raise FetchFailed(f"The package index answered with status {reply.status}.")
        body = await reply.body(PAGE_LIMIT)
        kind, base = reply.headers.get("Content-Type", ""), str(reply.url)
    make = _maker(index, route, secrets)
    if "json" in kind:
        files = await asyncio.to_thread(_read_json, body, base, make)
    else:
        files = await asyncio.to_thread(_read_html, body.decode("utf-8", "replace"), base, make)
    return [file for file in files if _web(file.url)]  # a page from outside may not point at this machine's files


def _secrets(index: Index) -> dict[str, str]:
    if index.login is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(":".join(index.login).encode()).decode()}


def _maker(index: Index, route: Route, secrets: dict[str, str]) -> Callable[[str], Remote]:
    """Build remotes of one index; only files at the index's own origin get its login."""
    home = origin(parse(index.url))

    def make(url: str) -> Remote:
        same = _web(url) and origin(parse(url)) == home
        return Remote(url=url, name="", route=route, secrets=secrets if same else {})

    return make


def _read_json(body: bytes, base: str, make: Callable[[str], Remote]) -> list[Remote]:
    try:
        files = msgspec.json.decode(body, type=_Project).files
    except (msgspec.MsgspecError, UnicodeError):
        raise FetchFailed("The package index sent a page that cannot be read.") from None
    return [
        _filled(make, urljoin(base, file.url), file.filename, file.hashes.get("sha256"), file.size)
        for file in files
        if file.filename.endswith(".whl")
    ]


def _read_html(text: str, base: str, make: Callable[[str], Remote]) -> list[Remote]:
    anchors = _Anchors()
    anchors.feed(text)
    found: list[Remote] = []
    for target in anchors.targets:
        url, fragment = urldefrag(urljoin(base, target))
        filename = unquote(urlsplit(url).path.rpartition("/")[2])
        if filename.endswith(".whl"):
            found.append(_filled(make, url, filename, fragment.removeprefix("sha256="), None))
    return found


def _filled(make: Callable[[str], Remote], url: str, filename: str, sha256: str | None, size: int | None) -> Remote:
    known = make(url)
    hashed = sha256 if sha256 and _HEX.fullmatch(sha256) else None
    return Remote(url=url, name=filename, size=size, sha256=hashed, route=known.route, secrets=known.secrets)


def _web(url: str) -> bool:
    """Whether a link of a page is an address that could be fetched at all."""
    try:
        parse(url)
    except FetchRefused:
        return False
    return True


class _Anchors(HTMLParser):
    """Collects where the links of a page lead."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.targets += [value for name, value in attrs if name == "href" and value]


def local(url: str) -> Path:
    """The path of a `file:` URL (`file:/a/b` or `file:///a/b`).

    Raises:
        NotFound: It names another machine, or no absolute path.
    """
    parts = urlsplit(url)
    path = Path(url2pathname(parts.path))
    if parts.netloc not in {"", "localhost"} or not path.is_absolute() or "\0" in str(path):
        raise NotFound("A `file:` address needs an absolute path on this machine, as in file:/srv/model.gguf.")
    return path
