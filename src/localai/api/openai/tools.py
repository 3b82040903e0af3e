"""Functions a model may call, as today's and yesterday's chat API describe them."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field

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
    """A tool; kinds other than `function` run in OpenAI's own cloud and are left out here."""

    type: str = "function"
    function: FunctionBody | None = None


class NameBody(Body):
    """The name of a function."""

    name: str


class ChosenBody(Body):
    """A choice of one tool."""

    type: str | None = None
    function: NameBody | None = None


class AllowedBody(Body):
    """A choice among some of the tools."""

    mode: Literal["auto", "required"] = "auto"
    tools: list[ChosenBody] = Field(max_length=TOOLS)


class ChoiceBody(Body):
    """A rule: a bare word, `{"type": "function", "function": {"name"}}`, `{"name"}`, or `{"allowed_tools": {...}}`."""

    word: str | None = None
    function: NameBody | None = None
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
    for index, function in enumerate(_functions(body)):
        if function is None:
            continue
        if function.name in found:
            raise InvalidRequest(f"The tool `{function.name}` is there twice.", param=f"{place}.{index}")
        found[function.name] = Tool(
            name=function.name,
            description=function.description or "",
            parameters=function.parameters or {"type": "object", "properties": {}},
            strict=bool(function.strict),
        )
    return tuple(found.values())


def _functions(body: Tooled) -> list[FunctionBody | None]:
    if body.legacy():
        return list(body.functions or ())
    functions: list[FunctionBody | None] = []
    for index, tool in enumerate(body.tools or ()):
        if tool.type == "function" and tool.function is None:
            raise InvalidRequest("A tool of type `function` needs `function`.", param=f"tools.{index}.function")
        functions.append(tool.function if tool.type == "function" else None)
    return functions


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
        case ChoiceBody(function=NameBody(name=name)) | ChoiceBody(name=str() as name):
            return _named(tools, name, param)
        case ChoiceBody():
            raise InvalidRequest(f"`{param}` must be `auto`, `none`, `required` or name a function.", param=param)


def _required(tools: tuple[Tool, ...], param: str) -> Offer:
    if not tools:
        raise InvalidRequest("A tool call is required, but the request has no tools.", param=param)
    return Offer(tools, ToolChoice(mode="required"))


def _named(tools: tuple[Tool, ...], name: str, param: str) -> Offer:
    if all(tool.name != name for tool in tools):
        raise InvalidRequest(f"`{param}` names the tool `{name[:100]}`, which is not among the tools.", param=param)
    return Offer(tools, ToolChoice(mode="required", name=name))


def _allowed(tools: tuple[Tool, ...], allowed: AllowedBody, param: str) -> Offer:
    names = {chosen.function.name for chosen in allowed.tools if chosen.function is not None}
    missing = sorted(names - {tool.name for tool in tools})
    if missing:
        raise InvalidRequest(f"`{param}` allows `{missing[0][:100]}`, which is not among the tools.", param=param)
    kept = tuple(tool for tool in tools if tool.name in names)
    return _required(kept, param) if allowed.mode == "required" else Offer(kept, ToolChoice())
