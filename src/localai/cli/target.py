"""Which server a command talks to, and with which key: by flags, then variables, then the settings of this machine."""

import ipaddress
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from localai.cli.errors import Misused

if TYPE_CHECKING:
    from localai.config import Settings

PORT = 8080
"""The port of an address that names none."""


@dataclass(frozen=True)
class Target:
    """A server by its base URL, the key for it, and whether it is this machine's own, which a command may start."""

    url: str
    key: str | None = field(default=None, repr=False)
    own: bool = False


def target(host: str | None, port: int | None, api_key: str | None) -> Target:
    """Find the server: `--host`, else LOCALAI_HOST, else the one of this machine's settings.

    A server that was named is never started by a command. The key of this machine's own server (`admin.key`) is
    never sent to another machine.

    Raises:
        Misused: A variable or flag makes no sense.
    """
    named = host or os.environ.get("LOCALAI_HOST")
    key = api_key or os.environ.get("LOCALAI_API_KEY")
    if named:
        url = address(named, port)
        return Target(url=url, key=key or (own_key() if _here(url) else None))
    if port:
        return Target(url=address("127.0.0.1", port), key=key or own_key())
    return Target(url=_running() or address("127.0.0.1", settings().port or PORT), key=key or own_key(), own=True)


def _running() -> str | None:
    """Where the server of this home said that it listens; it may have been killed since."""
    try:
        return address(settings().address.read_text().strip())
    except (OSError, Misused):
        return None


def address(named: str, port: int | None = None) -> str:
    """The base URL for `box`, `box:9000`, `[::1]:9000` or a whole URL; an address that means "all" becomes loopback.

    Raises:
        Misused: It names no server.
    """
    whole = named if "://" in named else f"http://{_bracketed(named)}"
    try:
        parts = urlsplit(whole)
        found = port or parts.port
    except ValueError:
        parts, found = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misused(
            f"`{named}` is not the address of a server.",
            fix="`--host box`, `--host box:9000`, `--host https://ai.example`",
        )
    if found is None and "://" not in named:
        found = PORT
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(parts.hostname, parts.hostname)  # noqa: S104 - read, not bound
    suffix = f":{found}" if found else ""
    return f"{parts.scheme}://{_bracketed(name)}{suffix}{parts.path.rstrip('/')}"


def settings(**flags: object) -> "Settings":
    """This machine's settings, with flags put above variables and files.

    Raises:
        Misused: A value is not valid; the message names the setting.
    """
    from pydantic import ValidationError

    from localai.config import Settings

    try:
        return Settings.model_validate({}) if not flags else Settings(**flags)  # pyright: ignore[reportArgumentType] - pydantic checks the values
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, problem["loc"])) or "settings"
        raise Misused(
            f"The setting `{name}` is not valid: {problem['msg']}.",
            why=f"it comes from the flag --{name.replace('_', '-')} or the variable LOCALAI_{name.upper()}.",
            fix="`localai serve --help` lists every setting.",
        ) from None


def own_key() -> str | None:
    """The key this machine's server made at its first start, if this user may read it."""
    try:
        return settings().admin_key.read_text().strip() or None
    except OSError:
        return None


def _bracketed(name: str) -> str:
    """A bare IPv6 address in brackets, anything else as it is."""
    return f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name


def _here(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
