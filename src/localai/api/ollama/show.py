"""POST /api/show: everything about one model."""

from typing import Any

import msgspec
import orjson

from localai.api.ollama.clock import stamp
from localai.api.ollama.fields import Named
from localai.api.ollama.listing import capabilities, details
from localai.core.model import Model
from localai.loader.header import Header
from localai.service.about import About

Json = dict[str, Any]


class ShowBody(Named):
    """Which model; `verbose` changes nothing: vocabularies are never sent."""

    verbose: Any = None


def reply(about: About, licence: str) -> Json:
    """The answer object."""
    model, header = about.model, about.header
    template = model.template or (header.template if header is not None else None) or ""
    return {
        "license": licence,
        "modelfile": _modelfile(model, licence),
        "parameters": "\n".join(f"{name:<30} {_literal(value)}" for name, value in _parameters(model)),
        "template": template,
        **({"system": model.system} if model.system else {}),
        "details": details(about),
        "model_info": _info(about) if header is None else _facts(header),
        "capabilities": capabilities(model, header),
        "modified_at": stamp(model.created),
    }


def _info(about: About) -> Json:
    """What is known of a model without a GGUF file."""
    engine = about.model.engine
    return {"general.architecture": engine, f"{engine}.context_length": about.context}


def _facts(header: Header) -> Json:
    """A GGUF header's facts under the names they have in the file."""
    own = header.architecture
    facts = {
        "general.architecture": own,
        "general.name": header.name or None,
        "general.file_type": header.file_type,
        "general.parameter_count": header.parameters,
        f"{own}.context_length": header.context or None,
        f"{own}.block_count": header.blocks or None,
        f"{own}.embedding_length": header.embedding or None,
        f"{own}.feed_forward_length": header.feed_forward or None,
        f"{own}.attention.head_count": header.heads or None,
        f"{own}.attention.head_count_kv": max(header.heads_kv, default=0) or None,
        f"{own}.attention.key_length": header.key_length or None,
        f"{own}.attention.value_length": header.value_length or None,
        f"{own}.attention.sliding_window": header.window or None,
        f"{own}.vocab_size": header.vocabulary or None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _parameters(model: Model) -> list[tuple[str, Any]]:
    """What requests of this model take when they say nothing else, under the names of a Modelfile."""
    given = msgspec.structs.asdict(model.parameters)
    found = [(name, value) for name, value in given.items() if isinstance(value, int | float) and value is not False]
    if model.context:
        found.append(("num_ctx", model.context))
    if model.max_tokens is not None:
        found.append(("num_predict", model.max_tokens))
    return [*found, *(("stop", text) for text in model.stop)]


def _modelfile(model: Model, licence: str) -> str:
    """A Modelfile that makes the same model again from this one."""
    lines = [f"FROM {model.name}"]
    if model.template:
        lines.append(f'TEMPLATE """{model.template}"""')
    if model.system:
        lines.append(f'SYSTEM """{model.system}"""')
    lines += [f"PARAMETER {name} {_literal(value)}" for name, value in _parameters(model)]
    if licence:
        lines.append(f'LICENSE """{licence}"""')
    return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    return orjson.dumps(value).decode()
