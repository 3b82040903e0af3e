"""What shape the answer must have: response formats, JSON schemas and grammars."""

from typing import Annotated, Any, Literal

from pydantic import Field

from localai.api.openai.fields import Body
from localai.core.errors import InvalidRequest
from localai.core.task import AnyJson, Format, FreeText, Grammar, Schema

GRAMMAR_LENGTH = 256 * 1024
"""Characters of a grammar; the engine limits what it may compile to."""


class SchemaFormat(Body):
    """A JSON schema with its name; `strict` changes nothing, because every schema is enforced here."""

    name: str | None = Field(default=None, max_length=256)
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Body):
    """Text, any JSON object, or JSON that is valid against a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaFormat | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    """llama.cpp's place for a schema beside `json_object`."""


class Shaped(Body):
    """The fields that constrain the answer; at most one of them may do so."""

    response_format: ResponseFormat | None = None
    json_schema: dict[str, Any] | None = None
    grammar: Annotated[str, Field(max_length=GRAMMAR_LENGTH)] | None = None
    guided_json: dict[str, Any] | None = None
    guided_grammar: Annotated[str, Field(max_length=GRAMMAR_LENGTH)] | None = None

    def format(self) -> Format:
        """The one constraint asked for.

        Raises:
            InvalidRequest: Two constraints, or a schema format without a schema.
        """
        schemas = {"json_schema": self.json_schema, "guided_json": self.guided_json}
        grammars = {"grammar": self.grammar, "guided_grammar": self.guided_grammar}
        asked: list[tuple[str, Format]] = [
            *[(name, Schema(schema=schema)) for name, schema in schemas.items() if schema is not None],
            *[(name, Grammar(grammar=grammar)) for name, grammar in grammars.items() if grammar],
        ]
        if self.response_format is not None and self.response_format.type != "text":
            asked.insert(0, ("response_format", _shape(self.response_format)))
        if len(asked) > 1:
            raise InvalidRequest(
                f"Only one of `{asked[0][0]}` and `{asked[1][0]}` can shape the answer.", param=asked[1][0]
            )
        return asked[0][1] if asked else FreeText()


def _shape(asked: ResponseFormat) -> Format:
    match asked.type:
        case "text":
            return FreeText()
        case "json_object":
            return AnyJson() if asked.schema_ is None else Schema(schema=asked.schema_)
        case "json_schema":
            named = asked.json_schema
            schema = named.schema_ if named is not None and named.schema_ is not None else asked.schema_
            if schema is None:
                raise InvalidRequest(
                    "A response format of type `json_schema` needs a schema.", param="response_format.json_schema"
                )
            return Schema(schema=schema, name=(named.name if named is not None else None) or "response")
