"""`localai doctor`: whether this machine, its settings and its server are in order."""

import ipaddress
import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from localai.cli.checks import LOCAL, Check
from localai.cli.client import Client
from localai.cli.errors import Denied, Failure
from localai.cli.server import alive
from localai.cli.table import write_json
from localai.cli.target import Target, settings, target
from localai.cli.terminal import clean
from localai.cli.verb import Host, Json, Key, Port
from localai.core.version import version

if TYPE_CHECKING:
    from localai.config import Settings

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(*, as_json: Json = False, host: Host = None, port: Port = None, api_key: Key = None) -> None:
    """Check this machine, the settings and the server.

    Each finding says what to do about it.

    Exit code 1 when a check fails; warnings are no failure.
    """
    found = list(examine(settings(), target(host, port, api_key)))
    failed = any(check.state == "fail" for check in found)
    if as_json:
        rows = [{"name": one.name, "state": one.state, "detail": one.detail, "fix": one.fix} for one in found]
        write_json({"ok": not failed, "checks": rows})
    else:
        for check in found:
            typer.echo(_line(check))
    if failed:
        raise typer.Exit(1)


def examine(chosen: "Settings", aim: Target) -> Iterator[Check]:
    """All checks, in the order in which a person would ask."""
    for check in LOCAL:
        yield from check(chosen)
    yield exposure(chosen)
    yield from server(chosen, aim)


def exposure(chosen: "Settings") -> Check:
    """Whether the server would be open to others without a key."""
    try:
        local = ipaddress.ip_address(chosen.host).is_loopback
    except ValueError:
        local = chosen.host == "localhost"
    if chosen.open and not local:
        return Check("access", "fail", f"`open` on {chosen.host} would let everyone in", "`localai serve --no-open`")
    if local:
        return Check("access", "ok", f"listens on {chosen.host} only" + (", without a key" if chosen.open else ""))
    return Check("access", "ok", f"listens on {chosen.host}, with keys")


def server(chosen: "Settings", aim: Target) -> Iterator[Check]:
    """Whether the server answers, takes the key and has the version of this program; else whether its port is free."""
    if aim.own and not alive(aim.url):
        yield _port(chosen)
        return
    try:
        status: dict[str, Any] = Client(aim.url, aim.key).get("/api/admin/status", wait=10)
    except Failure as failure:
        name = "key" if isinstance(failure, Denied) else "server"
        yield Check(name, "fail", failure.what, failure.fix)
        return
    found = str(status.get("version") or "")
    if found == version():
        yield Check("server", "ok", f"version {found} answers at {aim.url}")
    else:
        detail = f"version {found} answers at {aim.url}, this is {version()}"
        yield Check("server", "warn", detail, "`pip install -U localai-server` where the older one is.")
    problems: dict[str, str] = status.get("problems") or {}
    for file, why in problems.items():
        yield Check("model file", "warn", f"{file}: {why}", "`localai rm`, or mend the file.")


def _port(chosen: "Settings") -> Check:
    """No server runs: whether one could take its port."""
    family = socket.AF_INET6 if ":" in chosen.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((chosen.host, chosen.port))
        except OSError as error:
            why = error.strerror or "it is taken"
            return Check("port", "fail", f"{chosen.host}:{chosen.port}: {why}", "`localai serve --port 8081`")
    return Check("port", "ok", f"{chosen.port} is free; no server runs (`localai serve` starts one)")


def _line(check: Check) -> str:
    colour = _COLOURS[check.state] if not os.environ.get("NO_COLOR") else None
    mark = typer.style(f"{check.state:<4}", fg=colour)
    fix = f"\n      Try: {clean(check.fix)}" if check.fix else ""
    return f"{mark}  {check.name}: {clean(check.detail)}{fix}"
