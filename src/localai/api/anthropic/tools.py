"""Tools of the messages API and the rule for choosing among them."""

from typing import Annotated, Any, NamedTuple, cast

from pydantic import BeforeValidator, Field

from localai.api.openai.fields import Body
from localai.core.errors import InvalidRequest
from localai.core.task import Tool, ToolChoice

TOOLS = 512
"""Tools of one request."""


class ToolBody(Body):
    """A tool. Types other than `custom` are known to Anthropic's own models only and are left out here."""

    type: str | None = None
    name: str | None = Field(default=None, min_length=1, max_length=256, pattern=r"^[^\s\x00-\x1f\"\\]+$")
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class ChoiceBody(Body):
    """A rule: `auto`, `any`, `none`, or `tool` with a name."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


def _known(given: object) -> object:
    """Of a tool that is left out only the type is kept, whatever its fields are."""
    if not isinstance(given, dict):
        return given
    kind = cast("dict[str, object]", given).get("type")
    return {"type": kind} if isinstance(kind, str) and kind != "custom" else cast("dict[str, object]", given)


Tools = Annotated[
    list[Annotated[ToolBody, BeforeValidator(_known, json_schema_input_type=ToolBody)]], Field(max_length=TOOLS)
]


class Offer(NamedTuple):
    """Tools, the rule for choosing among them, and whether several may be called at once."""

    tools: tuple[Tool, ...]
    choice: ToolChoice
    parallel: bool


def offer(bodies: list[ToolBody] | None, choice: ChoiceBody | None) -> Offer:
    """Translate tools and choice.

    Raises:
        InvalidRequest: A tool without a name, a name that is used twice or chosen and not there, an unknown choice.
    """
    tools = _tools(bodies or [])
    parallel = choice is None or not choice.disable_parallel_tool_use
    match choice:
        case None | ChoiceBody(type="auto"):
            return Offer(tools, ToolChoice(), parallel)
        case ChoiceBody(type="none"):
            return Offer(tools, ToolChoice(mode="none"), parallel)
        case ChoiceBody(type="any"):
            if not tools:
                raise InvalidRequest("A tool call is required, but there is no tool to call.", param="tool_choice")
            return Offer(tools, ToolChoice(mode="required"), parallel)
        case ChoiceBody(type="tool", name=str() as name):
            if all(tool.name != name for tool in tools):
                raise InvalidRequest(f"The tool `{name[:100]}` is not among the tools.", param="tool_choice.name")
            return Offer(tools, ToolChoice(mode="required", name=name), parallel)
        case ChoiceBody(type="tool"):
            raise InvalidRequest("A choice of type `tool` needs `name`.", param="tool_choice.name")
        case _:
            raise InvalidRequest("There are `auto`, `any`, `tool` and `none`.", param="tool_choice.type")


def _tools(bodies: list[ToolBody]) -> tuple[Tool, ...]:
    found: dict[str, Tool] = {}
    for index, body in enumerate(bodies):
        if body.type not in {None, "custom"}:
            continue
        if body.name is None:
            raise InvalidRequest("A tool needs a name.", param=f"tools.{index}.name")
        if body.name in found:
            raise InvalidRequest(f"The tool `{body.name}` is there twice.", param=f"tools.{index}.name")
        found[body.name] = Tool(
            name=body.name,
            description=body.description or "",
            parameters=body.input_schema or {"type": "object", "properties": {}},
            strict=bool(body.strict),
        )
    return tuple(found.values())
