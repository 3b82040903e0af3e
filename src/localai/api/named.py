"""Routes that name a model in their path: `/v1/models/MODEL/chat/completions` and its like.

Every route under `/v1` that reads a body with a `model` has these forms too (each also without `/v1`):
`/v1/models/MODEL/...`, `/v1/engines/MODEL/...`, `/openai/deployments/MODEL/...` (Azure's). The model of the path wins
over one in the body: `api.body.read` puts it there. A model's name may hold slashes, so the longest known ending
of the path is the route: `/v1/models/a/chat/completions` is the chat of `a`, not a completion of `a/chat`.
"""

import re
from collections.abc import Iterable

_NAMED = re.compile(r"(?:/v1)?/(?:models|engines)/([^/].*)|/openai/deployments/([^/].*)")
_AZURE = "/openai/v1/"
"""Azure's newer base path; what follows is OpenAI's own."""
_VERSION = "/v1/"


class Names:
    """Knows which routes take a model in their path."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Take the paths that read a body with a model; those under `/v1/` get the other forms."""
        endings = {path.removeprefix(_VERSION) for path in paths if path.startswith(_VERSION) and "{" not in path}
        self._endings = sorted(endings, key=len, reverse=True)

    def split(self, method: str, path: str) -> tuple[str, str | None]:
        """The path of the route that a request's path stands for, and the model it names.

        Only what is posted has a body to put the model into, so any other method has no such form.
        """
        if path.startswith(_AZURE):
            path = _VERSION + path.removeprefix(_AZURE)
        found = _NAMED.fullmatch(path) if method == "POST" else None
        if found is None:
            return path, None
        rest = found[1] or found[2]
        for ending in self._endings:
            model = rest.removesuffix(f"/{ending}")
            if model != rest and model:
                return _VERSION + ending, model
        return path, None
