"""What ends a command early: what happened, why, what to type next, and the exit code that scripts read."""

from http import HTTPStatus
from typing import ClassVar

import typer

from localai.cli.terminal import clean


class Failure(Exception):
    """A command could not do what was asked (exit code 1)."""

    exit: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        """Build the failure from one sentence each: what happened, why, and what to type next."""
        self.what = what
        self.why = why
        self.fix = fix
        super().__init__(what)

    def show(self) -> None:
        """Write it to standard error, without terminal codes of whoever wrote the sentences."""
        typer.echo(f"Error: {clean(self.what)}", err=True)
        if self.why:
            typer.echo(f"  Why: {clean(self.why)}", err=True)
        if self.fix:
            typer.echo(f"  Try: {clean(self.fix)}", err=True)


class Misused(Failure):
    """The command line or a setting makes no sense."""

    exit = 2


class Missing(Failure):
    """What was named does not exist."""

    exit = 3


class Denied(Failure):
    """The key is missing, wrong or may not do that."""

    exit = 4


class Unreachable(Failure):
    """There is no server to talk to."""

    exit = 5


class Full(Failure):
    """Not enough memory or disk."""

    exit = 6


_CASES: dict[int, type[Failure]] = {401: Denied, 403: Denied, 404: Missing, 507: Full}
_FIXES = {
    "model_not_found": "`localai list` shows what is installed, `localai pull SOURCE` installs more.",
    "not_enough_memory": "`localai ps` shows what is loaded, `localai stop MODEL` makes room.",
    "not_enough_disk": "`localai list` shows what takes space, `localai rm MODEL` frees it.",
    "model_load_failed": "`localai show MODEL` shows what the model needs, `localai doctor` checks this machine.",
    "engine_crashed": "the same command again; the model is started anew.",
}
_KEY_FIX = (
    "`--api-key KEY` or LOCALAI_API_KEY=KEY; `localai keys create NAME --scope infer` makes a key, "
    "and the server's own is in `admin.key` of its home."
)


def refused(status: int, code: str, message: str, *, retry_after: str = "") -> Failure:
    """The failure for an error answer of the server: its HTTP status decides the exit code."""
    what = message or f"The server answered {status} ({_phrase(status)})."
    fix = "" if "`localai " in what else _FIXES.get(code, "")
    if not fix and status in (401, 403):
        fix = _KEY_FIX
    if not fix and retry_after:
        fix = f"the same command again in {retry_after} s."
    return _CASES.get(status, Failure)(f"{what} ({code})" if code else what, fix=fix)


def refused_by_code(code: str, message: str) -> Failure:
    """The failure for an error that came inside a stream, where there is a code of `core.errors` but no status."""
    from localai.core.errors import BY_CODE, InternalError

    return refused(BY_CODE.get(code, InternalError).status, code, message)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no known status"
