"""The kinds of field that the bodies of Ollama's API are made of."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from localai.api.openai.fields import Body
from localai.core.errors import InvalidRequest

_UNITS = {
    "": 1.0,
    "ns": 1e-9,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "\u03bcs": 1e-6,
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_PIECE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{0,9})?)(ns|us|\u00b5s|\u03bcs|ms|s|m|h|d|)")
_SAID = "must be seconds, or a text such as `30s`, `1h30m` or `-1`"


def _seconds(given: object) -> object:
    """Seconds as Ollama reads them: a number, or Go's way of writing a duration; negative means for ever."""
    if not isinstance(given, str):
        return given
    text = given.strip()
    if not text:
        return None
    digits = text.removeprefix("-")
    pieces = _PIECE.findall(digits)
    if not pieces or "".join(number + unit for number, unit in pieces) != digits:
        raise PydanticCustomError("keep_alive", _SAID)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in pieces)
    return -seconds if digits != text else seconds


KeepAlive = Annotated[
    Annotated[float, Field(ge=-1e12, le=1e12)] | None,
    BeforeValidator(_seconds, json_schema_input_type=float | str | None),
]
"""How long a model stays loaded, in seconds; negative means for ever, 0 means not at all, None as configured."""
Name = Annotated[str, Field(max_length=512)]
Level = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Think = bool | Level
"""Whether to think, or how much."""


class Named(Body):
    """A body that names a model; `name` is what older clients call it."""

    model: Name | None = None
    name: Name | None = None

    @property
    def asked(self) -> str | None:
        """The model that is named, if one is."""
        return self.model or self.name or None

    @property
    def required(self) -> str:
        """The model that is named.

        Raises:
            InvalidRequest: None is.
        """
        if self.asked is None:
            raise InvalidRequest("`model` is required.", param="model")
        return self.asked


def thinking(think: Think | None) -> tuple[bool | None, str | None]:
    """What `think` asks of the model: to think or not (None: as it likes), and with which effort."""
    match think:
        case None | bool():
            return think, None
        case "none":
            return False, None
        case _:
            return True, think


Anything = Any
"""A field that is understood and changes nothing here, whatever its value."""
