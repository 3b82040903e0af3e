"""POST /api/create and /api/copy: the JSON form of a new model, or its Modelfile, as a draft."""

import re
from typing import Annotated, Any, NamedTuple

import msgspec
from pydantic import Field, ValidationError

from localai.api.ollama import modelfile
from localai.api.ollama.fields import Anything, Name, Named
from localai.api.ollama.options import IDLE, Options
from localai.api.openai.fields import Body
from localai.core.errors import InvalidRequest
from localai.service.library import Draft

Files = Annotated[dict[str, str], Field(max_length=1024)]
Text = Annotated[str, Field(max_length=2**20)]
Json = dict[str, Any]

_GO = re.compile(r"{{-?\s*(?:\.|\$|(?:if|range|end|else|with|template|block|define|break|continue)\b(?!\s*\())")
"""What only Go's templates have."""
_LICENCE = 256
"""Characters that a model file keeps of a licence."""


class CreateBody(Named):
    """What to make a model of: another one (`from`) or uploaded files, with changes; or all of that in a Modelfile."""

    from_: Name | None = Field(default=None, alias="from")
    files: Files | None = None
    adapters: Files | None = None
    template: Text | None = None
    system: Text | None = None
    license: Text | list[Text] | None = None
    parameters: dict[str, Any] | None = None
    messages: list[Any] | None = None
    quantize: str | None = None
    quantization: str | None = None
    modelfile: str | None = None
    path: str | None = None
    stream: bool | None = None
    renderer: Anything = None
    parser: Anything = None


class CopyBody(Body):
    """Which model to copy, and under which name."""

    source: Name = Field(min_length=1)
    destination: Name = Field(min_length=1)


class Plan(NamedTuple):
    """A draft, and what a person should know of it."""

    draft: Draft
    notes: tuple[str, ...]


def planned(body: CreateBody) -> Plan:
    """Translate a request.

    Raises:
        InvalidRequest: Something that cannot be honoured, or nothing to make a model of; `param` names it.
    """
    if body.path:
        raise InvalidRequest(
            "A Modelfile on the server's own disk is not read; send its text as `modelfile`.", param="path"
        )
    return _planned(_merged(body) if body.modelfile else body)


def _merged(body: CreateBody) -> CreateBody:
    """The body with the fields of its Modelfile; what the body says itself stands above them."""
    fields = modelfile.parse(body.modelfile or "")
    given = {key: value for key, value in body.model_dump(by_alias=True).items() if value is not None}
    try:
        return CreateBody.model_validate({**fields, **given})
    except ValidationError:
        raise InvalidRequest("The Modelfile holds a value of the wrong kind.", param="modelfile") from None


def _planned(body: CreateBody) -> Plan:
    _check(body)
    options = _options(body.parameters or {})
    notes = [f"the parameter {name} changes nothing here" for name in IDLE if getattr(options, name) is not None]
    draft = Draft(
        base=body.from_,
        files=tuple((body.files or {}).items()),
        adapters=tuple((body.adapters or {}).items()),
        template=body.template or None,
        system=body.system or None,
        licence=_licence(body, notes),
        context=options.room,
        parameters=_parameters(options),
    )
    return Plan(draft, tuple(notes))


def _check(body: CreateBody) -> None:
    if not body.from_ and not body.files:
        raise InvalidRequest("Neither `from` nor `files` was specified.", param="from")
    if body.from_ and (body.from_.startswith((".", "/", "~")) or body.from_.endswith((".gguf", ".safetensors"))):
        raise InvalidRequest(
            "A file of another machine cannot be read; upload it to /api/blobs and name it in `files`.", param="from"
        )
    for name in ("quantize", "quantization"):
        if getattr(body, name):
            raise InvalidRequest("Models are not quantised here; upload a quantised GGUF.", param=name)
    if body.messages:
        raise InvalidRequest(
            "A model cannot hold example messages here; put them into `system`, or send them with each request.",
            param="messages",
        )
    if body.template and _GO.search(body.template):
        raise InvalidRequest(
            "This is a template in Go's language; models here have Jinja chat templates. Leave `template` out and the "
            "one in the model's own file is used.",
            param="template",
        )


def _options(given: Json) -> Options:
    """The parameters, checked.

    Raises:
        InvalidRequest: One that is not known, or of a wrong kind.
    """
    for name in given:
        if name not in Options.model_fields:
            raise InvalidRequest(f"There is no parameter `{name[:64]}`.", param="parameters")
    try:
        return Options.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(("parameters", *map(str, first["loc"])))
        raise InvalidRequest(f"`{place}` {first['msg'].removeprefix('Input ')}.", param=place) from None


def _parameters(options: Options) -> Json:
    """The fields `parameters` of a model file."""
    found: Json = dict(msgspec.to_builtins(options.sampling()))
    if options.stop is not None:
        found["stop"] = list(options.stop)
    if options.limit is not None:
        found["max_tokens"] = options.limit
    return found


def _licence(body: CreateBody, notes: list[str]) -> str | None:
    """What a model file keeps of a licence: its text when that is short, else its first line."""
    text = body.license if isinstance(body.license, str) else "\n".join(body.license or ())
    text = text.strip()
    if len(text) <= _LICENCE:
        return text or None
    notes.append("only the first line of the license is kept")
    return text.splitlines()[0].strip()[:_LICENCE]
