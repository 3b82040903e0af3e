"""A whole answer as a message object."""

import json
import secrets
from typing import Any, cast

from localai.api.answer import Answer
from localai.api.anthropic.body import Asked
from localai.api.anthropic.thinking import signature
from localai.api.anthropic.usage import stop_fields, usage_fields
from localai.core.task import Call

ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"],
    "properties": {
        "id": {"type": "string"},
        "type": {"const": "message"},
        "role": {"const": "assistant"},
        "model": {"type": "string"},
        "content": {"type": "array", "items": {"type": "object", "required": ["type"]}},
        "stop_reason": {"type": "string"},
        "stop_sequence": {"type": ["string", "null"]},
        "usage": {"type": "object", "required": ["input_tokens", "output_tokens"]},
    },
}
"""The JSON schema of a message object."""


def new_id() -> str:
    """An id of a message."""
    return f"msg_{secrets.token_hex(14)}"


def call_id(given: str) -> str:
    """An engine's id of a call, as it looks in this dialect."""
    return f"toolu_{given.removeprefix('call_')}"


def reply(answer: Answer, identifier: str, model: str, wanted: Asked) -> dict[str, Any]:
    """The message object of an answer."""
    done = answer.done
    return {
        "id": identifier,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": _content(answer, wanted),
        **stop_fields(done, wanted.task),
        "usage": usage_fields(done.usage),
    }


def _content(answer: Answer, wanted: Asked) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.thought and wanted.thoughts:
        shown = answer.thought if wanted.shown else ""
        blocks.append(
            {"type": "thinking", "thinking": shown, "signature": signature(answer.thought, shown=wanted.shown)}
        )
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    return [*blocks, *(block for call in answer.calls() if (block := _call(call)) is not None)]


def _call(call: Call) -> dict[str, Any] | None:
    """A call; None for one that was cut off (the stop reason says so): half of its input must not be acted on."""
    try:
        given = json.loads(call.arguments or "{}")
    except ValueError:
        return None
    if not isinstance(given, dict):
        return None
    return {"type": "tool_use", "id": call_id(call.id), "name": call.name, "input": cast("dict[str, Any]", given)}
