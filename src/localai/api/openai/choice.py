"""One choice of a chat answer, in OpenAI's shape."""

from typing import Any

from localai.api.answer import Answer
from localai.api.openai.custom import text_of
from localai.api.openai.logprobs import chat_tokens
from localai.core.event import Done
from localai.core.task import Call


def choice(
    answer: Answer, index: int, *, logprobs: bool, legacy: bool, customs: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """The choice object; `legacy` gives the first call as `function_call`, `customs` are names of custom tools."""
    return {
        "index": index,
        "message": _message(answer, legacy=legacy, customs=customs),
        "logprobs": {"content": chat_tokens(answer.tokens), "refusal": None} if logprobs else None,
        "finish_reason": finish(answer.done, legacy=legacy),
    }


def finish(done: Done, *, legacy: bool) -> str:
    """OpenAI's `finish_reason`."""
    return "function_call" if legacy and done.finish == "tool_calls" else done.finish


def _message(answer: Answer, *, legacy: bool, customs: frozenset[str]) -> dict[str, Any]:
    calls = [_custom(call) if call.name in customs else _call(call) for call in answer.calls()]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if calls and not answer.text else answer.text,
        "refusal": None,
        "annotations": [],
    }
    if answer.thought:
        message["reasoning_content"] = answer.thought
    if calls and legacy:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    return message


def _custom(call: Call) -> dict[str, Any]:
    return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": text_of(call.arguments)}}


def _call(call: Call) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
