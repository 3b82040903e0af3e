"""The remote MCP servers an administrator configured: where they are and what they are told, never from a request."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from localai.core.errors import FetchFailed, InvalidRequest, LocalAIError, NotFound
from localai.fetch.address import parse

SERVERS = 64
"""Servers of one file."""
FILE = 2**20
"""Bytes of the file of servers."""
SECRET = 8192
"""Bytes of a file that holds the value of a header."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_VALUE = re.compile(r"[\t -~]{0,8192}")


class Remote(BaseModel):
    """One server. It is reached over HTTP only: nothing is ever started on this machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(max_length=4096)]
    headers: Annotated[dict[str, str], Field(max_length=32)] = {}
    """Sent with every request."""
    secret_headers: Annotated[dict[str, Path], Field(max_length=32)] = {}
    """Headers whose values stand in files, read anew for every connection."""
    private: bool = False
    """The server may be on this machine or in the own network."""
    tools: Annotated[tuple[str, ...], Field(max_length=512)] | None = None
    """The only tools that are offered; None: all."""
    timeout: Annotated[float, Field(gt=0, le=600)] = 60
    """Seconds for one call."""

    @field_validator("url")
    @classmethod
    def _readable(cls, given: str) -> str:
        try:
            parse(given)
        except LocalAIError as error:
            raise ValueError(error.message) from None
        return given

    @field_validator("headers")
    @classmethod
    def _sendable(cls, given: dict[str, str]) -> dict[str, str]:
        for name, value in given.items():
            if not _HEADER.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError("a header's name or value cannot be sent")
        return given

    def all_headers(self) -> dict[str, str]:
        """What is sent, secrets included; reads files.

        Raises:
            FetchFailed: A secret cannot be read.
        """
        return {**self.headers, **{name: _secret(name, path) for name, path in self.secret_headers.items()}}


def _secret(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            value = file.read(SECRET + 1).strip().decode("ascii")
    except (OSError, UnicodeDecodeError):
        value = ""
    if not value or not _VALUE.fullmatch(value):
        raise FetchFailed(f"The file for the header `{name}` of an MCP server cannot be read or holds no header.")
    return value


class Remotes:
    """The configured servers, by name."""

    def __init__(self, servers: Mapping[str, Remote] | None = None) -> None:
        self._servers = dict(servers or {})

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in the order of the file."""
        return tuple(self._servers)

    def get(self, name: str, param: str) -> Remote:
        """One server; NotFound (about the field `param`) where none is configured by that name."""
        found = self._servers.get(name)
        if found is None:
            known = ", ".join(f"`{one}`" for one in self._servers) or "none"
            raise NotFound(f"No MCP server `{name[:64]}` is configured here. Configured: {known}.", param=param)
        return found


def read(path: Path) -> Remotes:
    """Read the file of servers, YAML or JSON: `NAME: {url, headers, secret_headers, private, tools, timeout}`.

    The form `{"mcpServers": {NAME: ...}}` is read too. Slow the first time: for a thread.

    Raises:
        InvalidRequest: It is not there or not such a file; the message says what is wrong where.
    """
    named = _load(path)
    if len(named) > SERVERS:
        raise _wrong(path, f"it has more than {SERVERS} servers")
    servers: dict[str, Remote] = {}
    for name, given in named.items():
        if not _NAME.fullmatch(str(name)):
            raise _wrong(path, "a name may hold letters, digits, `-` and `_` only")
        try:
            servers[str(name)] = Remote.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join((str(name), *map(str, first["loc"])))
            raise _wrong(path, f"`{place}`: {first['msg']}") from None
    return Remotes(servers)


def _load(path: Path) -> Mapping[Any, Any]:
    from ruamel.yaml import YAML, YAMLError  # noqa: PLC0415 - slow to import, and only needed where there is such a file

    try:
        with path.open("rb") as file:
            text = file.read(FILE + 1)
    except OSError:
        raise _wrong(path, "it cannot be read") from None
    if len(text) > FILE:
        raise _wrong(path, f"it is larger than {FILE} bytes")
    try:
        found = cast("object", YAML(typ="safe", pure=True).load(text))  # pyright: ignore[reportUnknownMemberType]
    except (YAMLError, ValueError, RecursionError):
        raise _wrong(path, "it is neither YAML nor JSON") from None
    if isinstance(found, dict) and set(cast("dict[Any, Any]", found)) == {"mcpServers"}:
        found = cast("dict[Any, object]", found)["mcpServers"]
    if not isinstance(found, dict):
        raise _wrong(path, "it must hold an object from names to servers")
    return cast("dict[Any, Any]", found)


def _wrong(path: Path, why: str) -> InvalidRequest:
    return InvalidRequest(f"The file of MCP servers `{path}` is not valid: {why}.", param="mcp_servers")
