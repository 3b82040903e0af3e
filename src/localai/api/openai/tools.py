"""Functions a model may call, as today's and yesterday's chat API describe them."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from localai.api.openai.custom import CustomBody
from localai.api.openai.custom import tool as custom_tool
from localai.api.openai.fields import Body
from localai.core.errors import InvalidRequest
from localai.core.task import Tool, ToolChoice

TOOLS = 512
"""Tools of one request."""


class FunctionBody(Body):
    """A function: its name, what it does, and a JSON schema of its arguments."""

    name: str = Field(min_length=1, max_length=256, pattern=r"^[^\s\x00-\x1f\"\\]+$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolBody(Body):
    """A tool; kinds other than `function` and `custom` run in OpenAI's own cloud and are left out here."""

    type: str = "function"
    function: FunctionBody | None = None
    custom: CustomBody | None = None


class NameBody(Body):
    """The name of a function."""

    name: str


class ChosenBody(Body):
    """A choice of one tool."""

    type: str | None = None
    function: NameBody | None = None
    custom: NameBody | None = None

    @property
    def named(self) -> str | None:
        """The name of the tool."""
        chosen = self.function or self.custom
        return None if chosen is None else chosen.name


class AllowedBody(Body):
    """A choice among some of the tools."""

    mode: Literal["auto", "required"] = "auto"
    tools: list[ChosenBody] = Field(max_length=TOOLS)


class ChoiceBody(Body):
    """A rule: a bare word, `{"type": "function", "function": {"name"}}`, the same with `custom`, or `allowed_tools`."""

    word: str | None = None
    function: NameBody | None = None
    custom: NameBody | None = None
    name: str | None = None
    allowed_tools: AllowedBody | None = None


def _word(given: object) -> object:
    return {"word": given} if isinstance(given, str) else given


Choice = Annotated[ChoiceBody, BeforeValidator(_word, json_schema_input_type=str | ChoiceBody)]


class Tooled(Body):
    """The fields about tools, with the older `functions` and `function_call`."""

    tools: Annotated[list[ToolBody], Field(max_length=TOOLS)] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[FunctionBody], Field(max_length=TOOLS)] | None = None
    function_call: Choice | None = None

    def legacy(self) -> bool:
        """Whether the client speaks the older form and expects `function_call` in the answer."""
        return bool(self.functions) and not self.tools

    def customs(self) -> frozenset[str]:
        """The names of the custom tools: calls of theirs are given back with their text."""
        return frozenset(tool.custom.name for tool in self.tools or () if tool.type == "custom" and tool.custom)

    def offer(self) -> "Offer":
        """The tools the model may use and the rule for choosing among them.

        Raises:
            InvalidRequest: A name that is used twice or chosen and not there; a required call without any tool.
        """
        tools = _tools(self)
        if self.legacy():
            return _offer(tools, self.function_call, "function_call")
        return _offer(tools, self.tool_choice, "tool_choice")


class Offer(NamedTuple):
    """Tools and the rule for choosing among them."""

    tools: tuple[Tool, ...]
    choice: ToolChoice


def _tools(body: Tooled) -> tuple[Tool, ...]:
    place = "functions" if body.legacy() else "tools"
    found: dict[str, Tool] = {}
    for index, tool in enumerate(_offered(body)):
        if tool is None:
            continue
        if tool.name in found:
            raise InvalidRequest(f"The tool `{tool.name}` is there twice.", param=f"{place}.{index}")
        found[tool.name] = tool
    return tuple(found.values())


def _offered(body: Tooled) -> list[Tool | None]:
    """The tools in their places; None for one that is left out."""
    if body.legacy():
        return [_function(function) for function in body.functions or ()]
    return [_tool(tool, f"tools.{index}") for index, tool in enumerate(body.tools or ())]


def _tool(body: ToolBody, place: str) -> Tool | None:
    match body:
        case ToolBody(type="function", function=FunctionBody() as function):
            return _function(function)
        case ToolBody(type="custom", custom=CustomBody() as described):
            return custom_tool(described, place)
        case ToolBody(type="function" | "custom" as kind):
            raise InvalidRequest(f"A tool of type `{kind}` needs `{kind}`.", param=f"{place}.{kind}")
        case _:
            return None


def _function(body: FunctionBody) -> Tool:
    return Tool(
        name=body.name,
        description=body.description or "",
        parameters=body.parameters or {"type": "object", "properties": {}},
        strict=bool(body.strict),
    )


def _offer(tools: tuple[Tool, ...], choice: ChoiceBody | None, param: str) -> Offer:
    match choice:
        case None | ChoiceBody(word="auto"):
            return Offer(tools, ToolChoice())
        case ChoiceBody(word="none"):
            return Offer(tools, ToolChoice(mode="none"))
        case ChoiceBody(word="required" | "any"):
            return _required(tools, param)
        case ChoiceBody(allowed_tools=AllowedBody() as allowed):
            return _allowed(tools, allowed, param)
        case (
            ChoiceBody(function=NameBody(name=name))
            | ChoiceBody(custom=NameBody(name=name))
            | ChoiceBody(name=str() as name)
        ):
            return _named(tools, name, param)
        case ChoiceBody():
            raise InvalidRequest(f"`{param}` must be `auto`, `none`, `required` or name a tool.", param=param)


def _required(tools: tuple[Tool, ...], param: str) -> Offer:
    if not tools:
        raise InvalidRequest("A tool call is required, but the request has no tools.", param=param)
    return Offer(tools, ToolChoice(mode="required"))


def _named(tools: tuple[Tool, ...], name: str, param: str) -> Offer:
    if all(tool.name != name for tool in tools):
        raise InvalidRequest(f"`{param}` names the tool `{name[:100]}`, which is not among the tools.", param=param)
    return Offer(tools, ToolChoice(mode="required", name=name))


def _allowed(tools: tuple[Tool, ...], allowed: AllowedBody, param: str) -> Offer:
    names = {chosen.named for chosen in allowed.tools if chosen.named is not None}
    missing = sorted(names - {tool.name for tool in tools})
    if missing:
        raise InvalidRequest(f"`{param}` allows `{missing[0][:100]}`, which is not among the tools.", param=param)
    kept = tuple(tool for tool in tools if tool.name in names)
    return _required(kept, param) if allowed.mode == "required" else Offer(kept, ToolChoice())
