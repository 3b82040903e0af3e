"""Tools and the rules for choosing among them."""

import pytest
from pydantic import TypeAdapter, ValidationError

from localai.api.responses.tools import Choice, Named, Tools, flat, kit
from localai.core.errors import InvalidRequest
from localai.core.task import Tool, ToolChoice

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
LOOK = {"type": "function", "name": "look", "description": "d", "parameters": SCHEMA, "strict": True}
FREE = {"type": "custom", "name": "patch"}
LARK = {**FREE, "name": "lark", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}}
SPACE = {"type": "namespace", "name": "mcp__maps", "tools": [{"type": "function", "name": "look"}, FREE]}


def made(tools, choice=None):
    rule = None if choice is None else TypeAdapter(Choice).validate_python(choice)
    return kit(TypeAdapter(Tools).validate_python(tools), rule)


def test_functions_are_flat_or_as_in_the_chat_api():
    """A function has its fields beside its type, or under `function`."""
    wanted = (Tool(name="look", description="d", parameters=SCHEMA, strict=True),)
    assert made([LOOK]).tools == wanted
    assert made([{"type": "function", "function": {k: v for k, v in LOOK.items() if k != "type"}}]).tools == wanted


def test_a_free_form_tool_is_a_function_of_one_text():
    """A custom tool takes one string; a regular expression holds it as a pattern from end to end."""
    (tool,) = made([FREE]).tools
    assert tool.parameters["properties"] == {"input": {"type": "string"}}
    assert (tool.parameters["required"], tool.parameters["additionalProperties"]) == (["input"], False)
    held = {**FREE, "format": {"type": "grammar", "syntax": "regex", "definition": "a|b+"}}
    assert made([held]).tools[0].parameters["properties"]["input"]["pattern"] == "^(?:a|b+)$"
    assert made([{**FREE, "format": {"type": "text"}}]).tools == (tool,)


def test_tools_of_a_namespace_are_known_by_one_name_and_given_back_by_two():
    """The model sees one flat name; the client gets the name and the namespace."""
    offered = made([LOOK, SPACE])
    assert [tool.name for tool in offered.tools] == ["look", "mcp__maps__look", "mcp__maps__patch"]
    assert offered.named("mcp__maps__look") == Named("function", "look", "mcp__maps")
    assert offered.named("mcp__maps__patch") == Named("custom", "patch", "mcp__maps")
    assert offered.named("look") == Named("function", "look")
    assert (flat("a", None), flat("a", "n"), flat("a", "n__")) == ("a", "n__a", "n__a")


def test_what_cannot_be_called_here_is_left_out():
    """Tools of OpenAI's cloud, whatever their fields, and grammars that cannot be enforced are not offered."""
    others = [{"type": "web_search", "name": 5, "tools": "x"}, {"type": "mcp", "server_label": "s"}, LARK]
    assert made([*others, LOOK]).tools == made([LOOK]).tools
    assert made(others).tools == ()


@pytest.mark.parametrize(
    ("tools", "choice", "param"),
    [
        ([LOOK, LOOK], None, "tools.1"),
        ([SPACE, {**LOOK, "name": "mcp__maps__look"}], None, "tools.1"),
        ([{"type": "function"}], None, "tools.0.name"),
        ([{**FREE, "format": {"type": "grammar", "syntax": "regex"}}], None, "tools"),
        ([], "required", "tool_choice"),
        ([{"type": "web_search"}], "required", "tool_choice"),
        ([LOOK], {"type": "function", "name": "other"}, "tool_choice"),
        ([LARK], {"type": "custom", "name": "lark"}, "tool_choice"),
        ([LOOK], {"type": "web_search"}, "tool_choice"),
        ([LOOK], {"type": "function"}, "tool_choice"),
        ([LOOK], {"type": "allowed_tools", "tools": [{"type": "function", "name": "other"}]}, "tool_choice"),
        ([LOOK], "sometimes", "tool_choice"),
    ],
)
def test_what_does_not_fit_is_refused(tools, choice, param):
    """Names that are missing, used twice or not there, and calls that nothing can answer, are refused by field."""
    with pytest.raises(InvalidRequest) as caught:
        made(tools, choice)
    assert caught.value.param == param


def test_choices():
    """Each rule is what the engine knows of it; allowed tools are the only ones that are offered."""
    tools = [LOOK, FREE, SPACE]
    assert made(tools).choice == made(tools, "auto").choice == ToolChoice()
    assert made(tools, "none").choice.mode == "none"
    assert made(tools, "required").choice == ToolChoice(mode="required")
    assert made(tools, {"type": "custom", "name": "patch"}).choice == ToolChoice(mode="required", name="patch")
    named = {"type": "function", "name": "look", "namespace": "mcp__maps"}
    assert made(tools, named).choice.name == "mcp__maps__look"
    assert made([SPACE], {"type": "function", "name": "look"}).choice.name == "mcp__maps__look"
    allowed = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "namespace", "name": "mcp__maps"}, {"type": "web_search"}],
    }
    kept = made(tools, allowed)
    assert [tool.name for tool in kept.tools] == ["mcp__maps__look", "mcp__maps__patch"]
    assert kept.choice == ToolChoice(mode="required")


def test_tools_are_given_back_with_the_fields_that_clients_look_for():
    """A function is shown with all its fields, anything else as it was sent."""
    function, other = TypeAdapter(Tools).validate_python([{"type": "function", "name": "f"}, {"type": "mcp", "x": 1}])
    assert function.shown() == {
        "type": "function",
        "name": "f",
        "description": None,
        "parameters": None,
        "strict": False,
    }
    assert other.shown() == {"type": "mcp", "x": 1}


@pytest.mark.parametrize("wrong", [[5], [{"type": "function", "name": "a b"}], [{"type": "function", "name": ""}]])
def test_known_tools_have_their_types(wrong):
    """A tool that is none, and a name that no tool may have, are refused."""
    with pytest.raises(ValidationError):
        made(wrong)
