"""What makes a function a verb: its failures become messages and exit codes, and it gets a client if it needs one."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from localai.cli.client import Client
from localai.cli.completion import names
from localai.cli.errors import Failure

P = ParamSpec("P")

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name or alias of a model.", autocompletion=names)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Host = Annotated[
    str | None, typer.Option("--host", help="Server: HOST, HOST:PORT or URL (else LOCALAI_HOST, else this machine's).")
]
Port = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of the server.")]
Key = Annotated[
    str | None, typer.Option("--api-key", help="API key (else LOCALAI_API_KEY, else this machine's admin.key).")
]


def plain(function: Callable[P, None]) -> Callable[P, None]:
    """A verb that needs no server: a Failure is shown and becomes the exit code."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Failure as failure:
            failure.show()
            raise typer.Exit(failure.exit) from None

    return wrapper


def served(function: Callable[Concatenate[Client, P], None]) -> Callable[..., None]:
    """A verb whose first parameter is a client of the running server, or of one that lives as long as the verb.

    It gains `--host`, `--port` and `--api-key`, which choose the server.
    """
    return _with_client(function, start=True)


def running(function: Callable[Concatenate[Client, P], None]) -> Callable[..., None]:
    """A verb like `served`, for what makes sense only on a server that runs already."""
    return _with_client(function, start=False)


def _with_client(function: Callable[..., None], *, start: bool) -> Callable[..., None]:
    _, *rest = inspect.signature(function).parameters.values()
    names = (("host", Host), ("port", Port), ("api_key", Key))
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in names
    ]

    def wrapper(host: str | None, port: int | None, api_key: str | None, **given: Any) -> None:
        from localai.cli.server import connected
        from localai.cli.target import target

        with connected(target(host, port, api_key), start=start) as client:
            function(client, **given)

    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    wrapper.__signature__ = inspect.Signature([*rest, *options])  # pyright: ignore[reportFunctionMemberAccess] - what Typer reads
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in (*rest, *options)}
    return plain(wrapper)
