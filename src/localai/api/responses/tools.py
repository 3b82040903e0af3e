"""Tools of this API: functions, free-form tools and namespaces of them, as the functions that engines know."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, cast

from pydantic import BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from localai.api.openai.fields import Body
from localai.api.openai.tools import TOOLS, FunctionBody
from localai.api.responses import hosted
from localai.api.responses.hosted import Hosted, HostedBody
from localai.core.errors import InvalidRequest
from localai.core.task import Tool, ToolChoice

_PATTERN = 16 * 1024
"""Characters of a pattern."""
_HOSTED = frozenset[str]().union(*hosted.FIELDS.values())


class FormatBody(Body):
    """What the input of a free-form tool must look like."""

    type: Literal["text", "grammar"] = "text"
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = Field(default=None, max_length=256 * 1024)


def _tool(given: object) -> object:
    """Remember a tool as it was sent, without secrets; of a kind that runs in OpenAI's own cloud, only that."""
    if not isinstance(given, dict):
        return given
    sent = cast("dict[str, Any]", given)
    kind = sent.get("type", "function")
    if not isinstance(kind, str) or kind in {"function", "custom", "namespace"}:
        return {**{name: value for name, value in sent.items() if name not in _HOSTED}, "raw": sent}
    if kind == "mcp":
        sent = {name: value for name, value in sent.items() if name not in hosted.SECRET}
    fields = hosted.FIELDS.get(kind, frozenset())
    return {**{name: value for name, value in sent.items() if name in fields}, "type": kind, "raw": sent}


class ToolBody(HostedBody):
    """A tool. A namespace holds `tools`; `mcp` and `file_search` are called by this server.

    Kinds other than these five run in OpenAI's own cloud and are left out.
    """

    type: str = "function"
    name: str | None = Field(default=None, min_length=1, max_length=256, pattern=r"^[^\s\x00-\x1f\"\\]+$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: FormatBody | None = None
    function: FunctionBody | None = None
    """The chat API's place for the function."""
    tools: Annotated[list["Offered"], Field(max_length=TOOLS)] | None = None
    raw: SkipJsonSchema[dict[str, Any]] = {}
    """The tool as it was sent."""

    def shown(self) -> dict[str, Any]:
        """The tool as it is given back: functions with the fields that clients look for."""
        if self.type != "function":
            return {**self.raw, "type": self.type}
        told = self.function or self
        fields = {"type": "function", "name": told.name, "description": told.description}
        return {**self.raw, **fields, "parameters": told.parameters, "strict": bool(told.strict)}


Offered = Annotated[ToolBody, BeforeValidator(_tool, json_schema_input_type=ToolBody)]
Tools = Annotated[list[Offered], Field(max_length=TOOLS)]


class NamedBody(Body):
    """One of the tools an `allowed_tools` rule names."""

    type: str | None = None
    name: str | None = None
    namespace: str | None = None
    server_label: str | None = None


class ChoiceBody(Body):
    """A rule: a bare word, a function or free-form tool by name, `mcp`, `file_search`, or `allowed_tools`."""

    type: str
    name: str | None = None
    namespace: str | None = None
    server_label: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: Annotated[list[NamedBody], Field(max_length=TOOLS)] | None = None
    raw: SkipJsonSchema[Any] = None
    """The rule as it was sent."""

    def shown(self) -> Any:
        """The rule as it is given back."""
        return self.raw


def _word(given: object) -> object:
    if isinstance(given, str):
        return {"type": given, "raw": given}
    if isinstance(given, dict):
        sent = cast("dict[str, Any]", given)
        return {**sent, "raw": sent}
    return given


Choice = Annotated[ChoiceBody, BeforeValidator(_word, json_schema_input_type=str | ChoiceBody)]


class Named(NamedTuple):
    """How the client knows a tool."""

    kind: Literal["function", "custom"]
    name: str
    namespace: str | None = None


class Kit(NamedTuple):
    """The tools a model may use, the rule for choosing among them, and their names at the client's."""

    tools: tuple[Tool, ...]
    choice: ToolChoice
    names: dict[str, Named]
    hosted: Hosted = Hosted()
    """Those that this server calls itself; which tools they are is known when they are opened."""

    def named(self, name: str) -> Named:
        """How the client knows the tool that the model calls by this name."""
        return self.names.get(name, Named("function", name))


def flat(name: str, namespace: str | None) -> str:
    """The one name by which a model knows a tool of a namespace."""
    if not namespace:
        return name
    return namespace + name if namespace.endswith("__") else f"{namespace}__{name}"


def kit(bodies: Iterable[ToolBody], choice: ChoiceBody | None) -> Kit:
    """The tools of a request.

    Raises:
        InvalidRequest: A name that is missing, used twice, or chosen and not there; a required call without any tool.
    """
    tools: dict[str, Tool] = {}
    names: dict[str, Named] = {}
    bodies = list(bodies)
    for body, named, place in _offered(bodies):
        key = flat(named.name, named.namespace)
        if key in tools:
            raise InvalidRequest(f"The tool `{key}` is there twice.", param=place)
        tools[key] = _custom(body, key) if named.kind == "custom" else _function(body, key)
        names[key] = named
    ours = hosted.gathered((body.type, body, f"tools.{place}") for place, body in enumerate(bodies))
    return _chosen(Kit(tuple(tools.values()), ToolChoice(), names, ours), choice)


def _offered(bodies: Iterable[ToolBody]) -> Iterable[tuple[ToolBody, Named, str]]:
    for index, body in enumerate(bodies):
        place = f"tools.{index}"
        if body.type == "namespace":
            for inner, each in enumerate(body.tools or ()):
                if _usable(each):
                    yield each, _named(each, f"{place}.tools.{inner}", body.name), f"{place}.tools.{inner}"
        elif _usable(body):
            yield body, _named(body, place, None), place


def _usable(body: ToolBody) -> bool:
    """Whether a tool can be offered: its input can be held to its format, and calls of it are the client's to run."""
    lark = body.format is not None and body.format.type == "grammar" and body.format.syntax == "lark"
    return body.type == "function" or (body.type == "custom" and not lark)


def _named(body: ToolBody, place: str, namespace: str | None) -> Named:
    name = body.name or (body.function.name if body.function is not None else None)
    if name is None:
        raise InvalidRequest(f"A tool of type `{body.type}` needs `name`.", param=f"{place}.name")
    return Named("custom" if body.type == "custom" else "function", name, namespace)


def _function(body: ToolBody, name: str) -> Tool:
    told: ToolBody | FunctionBody = body.function or body
    return Tool(
        name=name,
        description=told.description or "",
        parameters=told.parameters or {"type": "object", "properties": {}},
        strict=bool(told.strict),
    )


def _custom(body: ToolBody, name: str) -> Tool:
    """A tool that takes free text is a function of one text, held to the tool's pattern if it has one."""
    text: dict[str, Any] = {"type": "string"}
    if body.format is not None and body.format.type == "grammar":
        text["pattern"] = _pattern(body.format, name)
    return Tool(
        name=name,
        description=body.description or "",
        parameters={"type": "object", "properties": {"input": text}, "required": ["input"]}
        | {"additionalProperties": False},
        strict=True,
    )


def _pattern(form: FormatBody, name: str) -> str:
    if form.syntax is None or not form.definition or len(form.definition) > _PATTERN:
        raise InvalidRequest(
            f"The grammar of the tool `{name}` needs `syntax` and a `definition` of at most {_PATTERN} characters.",
            param="tools",
        )
    return f"^(?:{form.definition})$"


def _chosen(offered: Kit, choice: ChoiceBody | None) -> Kit:
    match choice:
        case None | ChoiceBody(type="auto"):
            return offered
        case ChoiceBody(type="none"):
            return offered._replace(choice=ToolChoice(mode="none"))
        case ChoiceBody(type="required" | "any"):
            return _required(offered)
        case ChoiceBody(type="function" | "custom", name=str() as name, namespace=namespace):
            return _one(offered, name, namespace)
        case ChoiceBody(type="mcp" | hosted.SEARCH as kind, server_label=label, name=name):
            wanted = hosted.wished(offered.hosted, kind, label, name)
            return offered._replace(choice=ToolChoice(mode="required"), hosted=wanted)
        case ChoiceBody(type="allowed_tools", tools=list() as allowed, mode=mode):
            kept = _allowed(offered, allowed)
            return _required(kept) if mode == "required" else kept
        case ChoiceBody(type=kind):
            raise InvalidRequest(
                f"`tool_choice` asks for `{kind[:64]}`; there are `auto`, `none`, `required`, `allowed_tools`, a "
                "`function` or `custom` tool with its `name`, `mcp` with its `server_label`, and `file_search`.",
                param="tool_choice",
            )


def _required(offered: Kit) -> Kit:
    if not offered.tools and not offered.hosted.some:
        raise InvalidRequest(
            "A tool call is required, but the request has no tool that can be called here.", param="tool_choice"
        )
    return offered._replace(choice=ToolChoice(mode="required"))


def _one(offered: Kit, name: str, namespace: str | None) -> Kit:
    key = _key(offered, name, namespace)
    if key is None:
        raise InvalidRequest(
            f"`tool_choice` names the tool `{name[:100]}`, which is not among the tools that can be called here.",
            param="tool_choice",
        )
    return offered._replace(choice=ToolChoice(mode="required", name=key))


def _allowed(offered: Kit, allowed: Sequence[NamedBody]) -> Kit:
    """Only the tools that are named; those that run in OpenAI's own cloud are left out here as well."""
    keys: set[str] = set()
    for each in allowed:
        if each.type == "namespace":
            keys |= {key for key, named in offered.names.items() if named.namespace == each.name}
        elif each.name is not None and each.type in {"function", "custom", None}:
            key = _key(offered, each.name, each.namespace)
            if key is None:
                raise InvalidRequest(
                    f"`tool_choice` allows `{each.name[:100]}`, which is not among the tools that can be called here.",
                    param="tool_choice",
                )
            keys.add(key)
    ours = hosted.only(offered.hosted, [(each.type, each.server_label, each.name) for each in allowed])
    return offered._replace(tools=tuple(tool for tool in offered.tools if tool.name in keys), hosted=ours)


def _key(offered: Kit, name: str, namespace: str | None) -> str | None:
    """The name at the model's of a tool that the client names, with its namespace or (when that is plain) without."""
    if flat(name, namespace) in offered.names:
        return flat(name, namespace)
    found = [key for key, named in offered.names.items() if named.name == name and namespace is None]
    return found[0] if len(found) == 1 else None
