"""The path under which a reverse proxy offers this server: taken off requests, put in front of links.

A proxy may strip its path (`/ai/v1/models` arrives as `/v1/models`) or not; both work. The path is known from the
setting `root_path`, or from the header `X-Forwarded-Prefix`, which decides about nothing but links and this path.
"""

import re
from collections.abc import Sequence

from starlette.types import Scope

from localai.core.errors import InvalidRequest

LONGEST = 256
"""Characters of a path in front."""

_HEADER = b"x-forwarded-prefix"
_VALID = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


def clean(given: str) -> str:
    """The setting `root_path` as a path with a slash in front and none behind; "" for none.

    Raises:
        InvalidRequest: It is not a path of plain characters.
    """
    stripped = given.strip().strip("/")
    if not stripped:
        return ""
    path = f"/{stripped}"
    if not _is_path(path):
        raise InvalidRequest(
            f"`root_path` must be a path such as `/ai`, of letters, digits and `._~-`, at most {LONGEST} characters.",
            param="root_path",
        )
    return path


def strip(scope: Scope, root: str) -> str:
    """Take the path in front off the request of `scope`, when it is there; answer what links must start with."""
    known = _forwarded(scope.get("headers", ())) or root
    for front in dict.fromkeys((known, root)):
        path = str(scope["path"])
        if front and (path == front or path.startswith(front + "/")):
            scope["path"] = path.removeprefix(front) or "/"
            break
    return known


def _forwarded(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """What the proxy says, when it says one thing that is a path."""
    said = [value for name, value in headers if name == _HEADER]
    if len(said) != 1:
        return ""
    path = said[0].decode("latin-1").strip().rstrip("/")
    return path if _is_path(path) else ""


def _is_path(path: str) -> bool:
    return len(path) <= LONGEST and _VALID.fullmatch(path) is not None
