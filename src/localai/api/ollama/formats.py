"""`format`: what shape the answer must have."""

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from localai.api.ollama.schemas import plain
from localai.core.task import AnyJson, Format, FreeText, Schema

Shape = Literal["", "json"] | dict[str, Any]


def _shape(given: object) -> object:
    if given is None or isinstance(given, dict) or (isinstance(given, str) and given in {"", "json"}):
        return cast("object", given)
    raise PydanticCustomError("format", 'must be "json" or a JSON schema')


Wanted = Annotated[Shape | None, BeforeValidator(_shape)]


def constraint(wanted: Shape | None) -> Format:
    """The constraint that a `format` stands for.

    Raises:
        UnsupportedSchema: The schema is nested too deeply.
    """
    match wanted:
        case None | "":
            return FreeText()
        case "json":
            return AnyJson()
        case schema:
            return Schema(schema=plain(schema, "format")) if schema else AnyJson()
