"""Custom tools: they take one text instead of an object. To the model they are functions with one argument."""

import json
from typing import Any, Literal

from pydantic import Field

from localai.api.openai.fields import Body
from localai.core.errors import InvalidRequest
from localai.core.task import Tool

_INPUT = "input"


class GrammarBody(Body):
    """What the text must follow."""

    definition: str = Field(max_length=65536)
    syntax: Literal["lark", "regex"]


class FormatBody(Body):
    """Any text, or one that follows a grammar."""

    type: Literal["text", "grammar"] = "text"
    grammar: GrammarBody | None = None


class CustomBody(Body):
    """A tool that takes a text."""

    name: str = Field(min_length=1, max_length=256, pattern=r"^[^\s\x00-\x1f\"\\]+$")
    description: str | None = None
    format: FormatBody | None = None


class CustomCallBody(Body):
    """A call of a custom tool in the history."""

    name: str = Field(min_length=1, max_length=256)
    input: str = ""


def tool(body: CustomBody, place: str) -> Tool:
    """The function that stands for a custom tool; a regular expression becomes a pattern that is enforced.

    Raises:
        InvalidRequest: A grammar that cannot be enforced.
    """
    text: dict[str, Any] = {"type": "string"}
    grammar = None if body.format is None or body.format.type == "text" else body.format.grammar
    if grammar is not None and grammar.syntax == "lark":
        raise InvalidRequest(
            "A Lark grammar cannot be enforced here; use a `regex`, or describe the form in the description.",
            param=f"{place}.custom.format.grammar.syntax",
        )
    if grammar is not None:
        text["pattern"] = f"^(?:{grammar.definition})$"
    schema = {"type": "object", "properties": {_INPUT: text}, "required": [_INPUT], "additionalProperties": False}
    return Tool(name=body.name, description=body.description or "", parameters=schema, strict=grammar is not None)


def arguments(text: str) -> str:
    """The arguments of the function that stands for a call with this text."""
    return json.dumps({_INPUT: text}, ensure_ascii=False)


def text_of(given: str) -> str:
    """The text of a call; arguments that were cut off are given as they are."""
    try:
        value = json.loads(given)[_INPUT]
    except (ValueError, TypeError, KeyError, RecursionError):
        return given
    return value if isinstance(value, str) else given
