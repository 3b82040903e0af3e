"""Tools that this server calls itself: those of configured MCP servers, and the search in vector stores."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NamedTuple, cast

from pydantic import BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from localai.api.openai.fields import Body, Whole
from localai.api.vectors.bodies import Ranking
from localai.api.vectors.conditions import condition
from localai.core.errors import InvalidRequest
from localai.service.filesearch import FileSearch
from localai.service.filters import Filter

SEARCH = FileSearch.name
"""The type of the tool that searches, and the name by which models call it."""
STORES = 16
"""Vector stores of one search."""
NAMES = 512
"""Names in a list of tools."""

FIELDS = {
    "mcp": frozenset(("server_label", "allowed_tools", "require_approval")),
    SEARCH: frozenset(("vector_store_ids", "max_num_results", "filters", "ranking_options")),
}
"""What counts of each type; it means nothing in tools of other types."""
SECRET = ("authorization", "headers")
"""What a client may send for an MCP server of its own: it is not used here, nor kept, nor given back."""

_Names = Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=NAMES)]


class FilterBody(Body):
    """Some tools of a server."""

    tool_names: _Names | None = None
    read_only: bool | None = None


def _listed(given: object) -> object:
    return {"tool_names": cast("list[object]", given)} if isinstance(given, list) else given


class ApprovalBody(Body):
    """Which tools run unasked."""

    always: FilterBody | None = None
    never: FilterBody | None = None
    free: SkipJsonSchema[bool] = False
    """All of them."""


def _approval(given: object) -> object:
    if isinstance(given, str):
        if given not in {"always", "never"}:
            raise PydanticCustomError("approval", "must be `always`, `never` or an object with one or both of them")
        return {"free": given == "never"}
    if isinstance(given, dict):
        return {name: value for name, value in cast("dict[str, object]", given).items() if name != "free"}
    return given


class HostedBody(Body):
    """The fields of a tool that this server calls itself."""

    server_label: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    allowed_tools: Annotated[
        FilterBody | None, BeforeValidator(_listed, json_schema_input_type=list[str] | FilterBody | None)
    ] = None
    require_approval: Annotated[
        ApprovalBody | None, BeforeValidator(_approval, json_schema_input_type=str | ApprovalBody | None)
    ] = None
    vector_store_ids: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(min_length=1, max_length=STORES)]
        | None
    ) = None
    max_num_results: Annotated[Whole, Field(ge=1, le=50)] | None = None
    filters: dict[str, Any] | None = None
    ranking_options: Ranking | None = None


class Remote(NamedTuple):
    """The tools of one configured MCP server."""

    label: str
    allowed: tuple[str, ...] | None
    """The only ones that are offered; None: all."""
    free: tuple[str, ...] | None
    """Those that run unasked; None: all."""
    place: str
    """Its path in errors."""


class Shelf(NamedTuple):
    """A search in vector stores."""

    stores: tuple[str, ...]
    condition: Filter | None
    limit: int
    ranking: Ranking
    place: str


class Wish(NamedTuple):
    """The tool that `tool_choice` asks for; without `tool`, any of that server."""

    server: str
    tool: str | None = None


class Hosted(NamedTuple):
    """The tools of a request that this server calls itself."""

    remotes: tuple[Remote, ...] = ()
    shelf: Shelf | None = None
    wish: Wish | None = None

    @property
    def some(self) -> bool:
        """Whether there are any."""
        return bool(self.remotes) or self.shelf is not None


Entry = tuple[str | None, str | None, str | None]
"""Type, server and name of a tool that an `allowed_tools` rule names."""


def gathered(placed: Iterable[tuple[str, HostedBody, str]]) -> Hosted:
    """The tools among these (type, body, path in errors) that this server calls.

    Raises:
        InvalidRequest: One lacks what its type needs, is there twice, or asks for what is not done here.
    """
    remotes: dict[str, Remote] = {}
    shelf: Shelf | None = None
    for kind, body, place in placed:
        if kind == "mcp":
            remote = _remote(body, place)
            if remote.label in remotes:
                raise InvalidRequest("This server is there twice; join its tools.", param=f"{place}.server_label")
            remotes[remote.label] = remote
        elif kind == SEARCH:
            if shelf is not None:
                raise InvalidRequest("There is a search already; give it all `vector_store_ids`.", param=place)
            shelf = _shelf(body, place)
    if shelf is not None and SEARCH in remotes:
        raise InvalidRequest(
            f"A server called `{SEARCH}` cannot be used beside a search.", param=f"{remotes[SEARCH].place}.server_label"
        )
    return Hosted(tuple(remotes.values()), shelf)


def wished(hosted: Hosted, kind: str, label: str | None, name: str | None) -> Hosted:
    """The same with the one tool that must be called.

    Raises:
        InvalidRequest: It is not among them.
    """
    if kind == SEARCH and hosted.shelf is not None:
        return hosted._replace(wish=Wish(SEARCH, SEARCH))
    if kind == "mcp" and any(remote.label == label for remote in hosted.remotes):
        return hosted._replace(wish=Wish(label or "", name))
    raise InvalidRequest("`tool_choice` asks for a tool that is not among `tools`.", param="tool_choice")


def only(hosted: Hosted, entries: Sequence[Entry]) -> Hosted:
    """Those that an `allowed_tools` rule leaves."""
    named = {label: name for kind, label, name in entries if kind == "mcp"}
    whole = {label for kind, label, name in entries if kind == "mcp" and name is None}
    remotes: list[Remote] = []
    for remote in hosted.remotes:
        if remote.label in whole:
            remotes.append(remote)
        elif remote.label in named:
            names = [name for kind, label, name in entries if kind == "mcp" and label == remote.label and name]
            kept = [name for name in names if remote.allowed is None or name in remote.allowed]
            remotes.append(remote._replace(allowed=tuple(kept)))
    searches = any(kind == SEARCH for kind, _, _ in entries)
    return hosted._replace(remotes=tuple(remotes), shelf=hosted.shelf if searches else None)


def _remote(body: HostedBody, place: str) -> Remote:
    if body.server_label is None:
        raise InvalidRequest(
            "A tool of type `mcp` needs `server_label`, the name of a server that is configured here.",
            param=f"{place}.server_label",
        )
    allowed = None if body.allowed_tools is None else _names(body.allowed_tools, f"{place}.allowed_tools")
    return Remote(body.server_label, allowed, _free(body.require_approval, f"{place}.require_approval"), place)


def _free(body: ApprovalBody | None, place: str) -> tuple[str, ...] | None:
    """The tools that run unasked: those that are said to, and no others."""
    if body is None or body.free:
        return () if body is None else None
    asked = () if body.always is None else _names(body.always, f"{place}.always") or ()
    never = () if body.never is None else _names(body.never, f"{place}.never") or ()
    return tuple(name for name in never if name not in asked)


def _names(body: FilterBody, place: str) -> tuple[str, ...] | None:
    if body.read_only is not None:
        raise InvalidRequest("Tools are not told apart by `read_only` here; name them.", param=f"{place}.read_only")
    return None if body.tool_names is None else tuple(body.tool_names)


def _shelf(body: HostedBody, place: str) -> Shelf:
    if not body.vector_store_ids:
        raise InvalidRequest("A search needs `vector_store_ids`.", param=f"{place}.vector_store_ids")
    return Shelf(
        stores=tuple(body.vector_store_ids),
        condition=None if body.filters is None else condition(body.filters, f"{place}.filters"),
        limit=body.max_num_results or 10,
        ranking=body.ranking_options or Ranking(),
        place=place,
    )
