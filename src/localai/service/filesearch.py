"""Search in vector stores as a tool that the server calls itself (see `service.toolbox`)."""

from collections.abc import Sequence
from typing import Any, cast

from localai.core.caller import Caller
from localai.core.errors import LocalAIError
from localai.core.task import Tool, Value
from localai.service.filters import Filter
from localai.service.mcpclient import Result
from localai.service.ranking import Weights
from localai.service.search import Found
from localai.service.vectors import Vectors

QUERIES = 4
"""Questions of one call."""
LENGTH = 2048
"""Characters of one question."""

_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "queries": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 200},
            "minItems": 1,
            "maxItems": QUERIES,
            "description": "What to look for, in a few words each.",
        }
    },
    "required": ["queries"],
    "additionalProperties": False,
}


class Searched(Value, frozen=True):
    """One search that was made: its questions, and what was found, best first."""

    queries: tuple[str, ...]
    found: tuple[Found, ...]


class FileSearch:
    """A server of one tool for `toolbox.Toolbox`; it remembers its searches in their order."""

    name = "file_search"

    def __init__(
        self,
        vectors: Vectors,
        caller: Caller,
        stores: tuple[str, ...],
        *,
        condition: Filter | None = None,
        limit: int = 10,
        threshold: float = 0.0,
        weights: Weights | None = None,
    ) -> None:
        """Take where to look, and how; see `Vectors.search`."""
        self._vectors = vectors
        self._caller = caller
        self._stores = stores
        self._condition = condition
        self._limit = limit
        self._threshold = threshold
        self._weights = weights
        self.searches: list[Searched] = []

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The one tool."""
        described = "Search the user's files. Gives the passages that fit best, with the names of their files."
        return (Tool(name=self.name, description=described, parameters=_PARAMETERS, strict=True),)

    async def call(self, tool: str, arguments: dict[str, object]) -> Result:
        """Search; what goes wrong is a result that says so."""
        given = arguments.get("queries")
        asked = cast("list[object]", given) if isinstance(given, list) else []
        queries = tuple(one for one in asked if isinstance(one, str) and one.strip() and len(one) <= LENGTH)
        if not 0 < len(queries) == len(asked) <= QUERIES:
            return Result(text=f"`queries` must be a list of 1 to {QUERIES} short texts.", error=True)
        try:
            found = await self._vectors.search(
                self._caller,
                self._stores,
                queries,
                condition=self._condition,
                limit=self._limit,
                threshold=self._threshold,
                weights=self._weights,
            )
        except LocalAIError as error:
            return Result(text=error.message, error=True)
        self.searches.append(Searched(queries=queries, found=tuple(found)))
        return Result(text=written(found))


def written(found: list[Found]) -> str:
    """What was found, as a model reads it."""
    return passages([(each.filename, each.text) for each in found])


def passages(found: Sequence[tuple[str, str]]) -> str:
    """The same, of the names of files and the texts of their passages."""
    if not found:
        return "Nothing was found."
    return "\n\n".join(f"[{number}] {name}\n{text}" for number, (name, text) in enumerate(found, 1))
