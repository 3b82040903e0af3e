"""Finding a wheel at the package indexes and in the folders that pip is configured with."""

import hashlib
import json
from pathlib import Path

import pytest

from localai.core.errors import FetchFailed, NotFound
from localai.fetch.address import Origin
from localai.fetch.http import Client
from localai.fetch.index import canonical, find, local
from localai.fetch.pip import Index, Pip
from webserver import Ask, Out, Web

HASH = hashlib.sha256(b"wheel").hexdigest()
NAMES = [
    "my_model-1.0-py3-none-any.whl",
    "my_model-1.0.1-py3-none-any.whl",
    "my_model-1.0.1-cp311-cp311-linux_x86_64.whl",
    "my_model-1.0.1.tar.gz",
    "my_model_extra-1.0.1-py3-none-any.whl",
    "broken.whl",
]


def page(base: str = "../../files/", names: list[str] = NAMES) -> bytes:
    """A page of an index, as JSON."""
    files = [
        {"filename": name, "url": base + name, "hashes": {"sha256": HASH}, "size": 5, "yanked": "no", "more": 1}
        for name in names
    ]
    return json.dumps({"meta": {"api-version": "1.1"}, "name": "my-model", "files": files}).encode()


def html(base: str = "../../files/") -> bytes:
    """The same as HTML."""
    links = "".join(f'<a data-x href="{base}{name}#sha256={HASH}">{name}</a><br>' for name in NAMES)
    return f"<!DOCTYPE html><html><body><a>none</a>{links}</body></html>".encode()


async def as_json(ask: Ask, out: Out) -> None:
    await out.whole(page(), headers={"Content-Type": "application/vnd.pypi.simple.v1+json"})


async def as_html(ask: Ask, out: Out) -> None:
    await out.whole(html(), headers={"Content-Type": "text/html; charset=utf-8"})


async def missing(ask: Ask, out: Out) -> None:
    await out.whole(b"nothing", 404)


async def failing(ask: Ask, out: Out) -> None:
    await out.whole(b"sorry", 500)


def pip_for(*webs: Web, **more) -> Pip:
    return Pip(indexes=tuple(Index(url=web.url("/simple")) for web in webs), **more)


@pytest.mark.parametrize("answer", [as_json, as_html])
@pytest.mark.parametrize("name", ["my-model", "My.Model", "my__model"])
async def test_wheel(answer, name: str):
    """The wheel of exactly the name and version is found, however the name is spelled, with its address and hash."""
    async with Web(answer) as web, Client() as client:
        found = await find(name, "1.0.1", client, pip_for(web))
        assert found.url == web.url("/files/my_model-1.0.1-py3-none-any.whl")
        assert (found.name, found.sha256) == ("my_model-1.0.1-py3-none-any.whl", HASH)
        assert found.size == (5 if answer is as_json else None)
        assert web.asked[0].path == "/simple/my-model/"
        assert "v1+json" in web.asked[0].headers["accept"]


@pytest.mark.parametrize("version", ["1", "1.0.2", "2", "1.0.1.post1", "0.1"])
async def test_other_version(version: str):
    """Another version is not found, whatever it begins with."""
    async with Web(as_json) as web, Client() as client:
        with pytest.raises(NotFound):
            await find("my-model", version, client, pip_for(web))


async def test_no_wheel():
    """A version that has only a source archive is not found: archives are not built here."""

    async def answer(ask: Ask, out: Out) -> None:
        await out.whole(page(names=["my_model-1.0.1.tar.gz"]), headers={"Content-Type": "application/json"})

    async with Web(answer) as web, Client() as client:
        with pytest.raises(NotFound):
            await find("my-model", "1.0.1", client, pip_for(web))


async def test_next_index():
    """An index without the package, or one that fails, is passed over for the next."""
    for first in (missing, failing):
        async with Web(first) as one, Web(as_json) as two, Client() as client:
            assert (await find("my-model", "1.0", client, pip_for(one, two))).url.startswith(two.url())


async def test_failing_index():
    """When nobody has it and one index failed, that is told instead of "not found"."""
    async with Web(failing) as one, Web(missing) as two, Client() as client:
        with pytest.raises(FetchFailed):
            await find("my-model", "1.0", client, pip_for(one, two))


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"files": [{"url": 1}]}', b"\xff"])
async def test_damaged_page(body: bytes):
    """A page that cannot be read is a failure of the index."""

    async def answer(ask: Ask, out: Out) -> None:
        await out.whole(body, headers={"Content-Type": "application/json"})

    async with Web(answer) as web, Client() as client:
        with pytest.raises(FetchFailed):
            await find("my-model", "1.0", client, pip_for(web))


async def test_login():
    """An index's login goes to the index and to files at its own origin, never elsewhere."""
    for base, with_login in (("../../files/", True), ("http://127.0.0.1:1/files/", False)):

        async def answer(ask: Ask, out: Out, base: str = base) -> None:
            await out.whole(page(base), headers={"Content-Type": "application/json"})

        async with Web(answer) as web, Client() as client:
            pip = Pip(indexes=(Index(url=web.url("/simple"), login=("me", "pw")),))
            found = await find("my-model", "1.0", client, pip)
            assert web.asked[0].headers["authorization"] == "Basic bWU6cHc="
            assert found.secrets == ({"Authorization": "Basic bWU6cHc="} if with_login else {})
            assert "bWU6cHc=" not in repr(found)
            assert found.route.trusted == found.route.beside == frozenset((web.origin,))


@pytest.mark.parametrize(
    "base", ["file:///etc/", "ftp://files.example/", "https://u:p@files.example/", "https://127.1/"]
)
async def test_hostile_links(base: str):
    """A page from outside cannot point at files of this machine or at an address that is never fetched."""

    async def answer(ask: Ask, out: Out) -> None:
        await out.whole(page(base), headers={"Content-Type": "application/json"})

    async with Web(answer) as web, Client() as client:
        with pytest.raises(NotFound):
            await find("my-model", "1.0", client, pip_for(web))


async def test_folder(tmp_path: Path):
    """A folder of wheels is looked into first, by its path or its address."""
    wheel = tmp_path / NAMES[0]
    wheel.write_bytes(b"wheel")
    async with Web(as_json) as web, Client() as client:
        for link in (str(tmp_path), tmp_path.as_uri()):
            found = await find("my-model", "1.0", client, pip_for(web, links=(link,)))
            assert found.url == wheel.as_uri()
        assert not web.asked


async def test_missing_folder(tmp_path: Path):
    """A folder that is not there is passed over."""
    async with Client() as client:
        with pytest.raises(NotFound):
            await find("my-model", "1.0", client, Pip(indexes=(), links=(str(tmp_path / "none"),)))


async def test_page_of_links():
    """An address in `find-links` is a page of links."""
    async with Web(as_html) as web, Client() as client:
        found = await find("my-model", "1.0", client, Pip(indexes=(), links=(web.url("/a/b/links.html"),)))
        assert found.url == web.url("/files/" + NAMES[0])
        assert web.asked[0].path == "/a/b/links.html"


async def test_index_of_files(tmp_path: Path):
    """An index may be a folder on this machine."""
    folder = tmp_path / "simple" / "my-model"
    folder.mkdir(parents=True)
    (folder / "index.html").write_bytes(html())
    async with Client() as client:
        pip = Pip(indexes=(Index(url=(tmp_path / "simple").as_uri()),))
        found = await find("My_Model", "1.0", client, pip)
        assert found.url == (tmp_path / "files" / NAMES[0]).as_uri()
        assert found.sha256 == HASH
        with pytest.raises(NotFound):
            await find("other", "1.0", client, pip)


def test_canonical():
    """Names are compared in lower case, with any run of `-`, `_` and `.` as one dash."""
    assert canonical("A__b.-C") == "a-b-c"


@pytest.mark.parametrize("url", ["file:relative", "file://elsewhere/x", "file:", "file:///a%00b"])
def test_unfit_files(url: str):
    """A `file:` address without an absolute path on this machine is not found."""
    with pytest.raises(NotFound):
        local(url)


def test_file_address():
    """Both spellings of a `file:` address name the same path."""
    assert local("file:/a/b%20c") == local("file:///a/b%20c") == local("file://localhost/a/b%20c") == Path("/a/b c")


def test_trusted_origin_is_the_configured_one():
    """Trust belongs to the scheme, host and port that the operator wrote."""
    route = Pip().route(Index(url="http://index.example:81/simple"))
    assert route.trusted == frozenset((Origin("http", "index.example", 81),))
