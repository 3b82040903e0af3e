"""The Response object, complete in all its fields."""

from collections.abc import Sequence
from typing import Any

from localai.api.responses.body import ResponseBody
from localai.core.errors import ContextLengthExceeded, InternalError, LocalAIError, RateLimited
from localai.core.event import Usage


def begun(body: ResponseBody, identifier: str, model: str, created: int) -> dict[str, Any]:
    """A response that has nothing to say yet."""
    return {
        "id": identifier,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": bool(body.background),
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.limit(),
        "max_tool_calls": body.max_tool_calls,
        "model": model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "conversation": None if body.conversation is None else {"id": body.conversation.id},
        "prompt": None,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {"effort": body.effort(), "summary": body.summary()},
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": body.store is not False,
        "temperature": body.temperature,
        "text": _text(body),
        "tool_choice": body.tool_choice.shown() if body.tool_choice is not None else "auto",
        "tools": [tool.shown() for tool in body.tools or ()],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": body.top_p,
        "truncation": body.truncation or "disabled",
        "usage": None,
        "user": body.user,
        "metadata": body.metadata or {},
    }


def _text(body: ResponseBody) -> dict[str, Any]:
    text = body.text
    form = text.format.shown() if text is not None and text.format is not None else {"type": "text"}
    verbosity = text.verbosity if text is not None else None
    return {"format": form, "verbosity": verbosity or "medium"}


def usage(used: Usage) -> dict[str, Any]:
    """What was consumed, in tokens."""
    return {
        "input_tokens": used.prompt,
        "input_tokens_details": {"cached_tokens": used.cached, "cache_write_tokens": 0},
        "output_tokens": used.completion,
        "output_tokens_details": {"reasoning_tokens": used.thought},
        "total_tokens": used.prompt + used.completion,
    }


def failure(error: LocalAIError) -> dict[str, Any]:
    """The `error` of a response that failed; clients know a few codes of it only."""
    match error:
        case ContextLengthExceeded() | RateLimited():
            code = error.code
        case _:
            code = "server_error" if error.status >= 500 else "invalid_prompt"
    return {"code": code, "message": error.message, "param": error.param, "type": error.kind}


def lost(response: dict[str, Any]) -> dict[str, Any]:
    """A response that was begun and will never come."""
    error = failure(InternalError("The server lost this response before it was complete; ask again."))
    return {**response, "status": "failed", "error": error}


def page(items: Sequence[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A list of items."""
    return {
        "object": "list",
        "data": list(items),
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": more,
    }
