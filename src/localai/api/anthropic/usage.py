"""What an answer used and why it ended, in Anthropic's words."""

from typing import Any

from localai.core.event import Done, Usage
from localai.core.task import Generate


def usage_fields(usage: Usage) -> dict[str, Any]:
    """The `usage` object: the three kinds of input add up to the prompt, `input_tokens` are those no cache held."""
    return {
        "input_tokens": max(usage.prompt - usage.cached, 0),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
        "output_tokens_details": {"thinking_tokens": usage.thought},
    }


def stop_fields(done: Done, task: Generate) -> dict[str, Any]:
    """Why the answer to `task` ended: `stop_reason`, and `stop_sequence` where one of the request's own did it."""
    match done.finish:
        case "tool_calls":
            return {"stop_reason": "tool_use", "stop_sequence": None}
        case "length":
            full = task.max_tokens is None or done.usage.completion < task.max_tokens
            return {"stop_reason": "model_context_window_exceeded" if full else "max_tokens", "stop_sequence": None}
        case "stop":
            # A model's own stop strings are its way to end a turn.
            met = done.stop if done.stop in task.stop else None
            return {"stop_reason": "end_turn" if met is None else "stop_sequence", "stop_sequence": met}
