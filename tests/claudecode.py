"""Requests shaped like those of Claude Code, written for these tests: blocks, tools and options, none of its words."""

import secrets
from typing import Any

_FILLER = "Read what is there before you change it, and say what you did in one sentence. "


def tool(number: int, size: int) -> dict[str, Any]:
    """A tool with a long description and a schema of the kind that agents send."""
    return {
        "name": f"Tool{number}",
        "description": _FILLER * (size // len(_FILLER)),
        "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "file_path": {"type": "string", "description": "An absolute path"},
                "limit": {"type": "number", "description": "How many lines", "exclusiveMinimum": 0},
                "mode": {"type": "string", "enum": ["content", "count"]},
            },
            "required": ["file_path"],
            "additionalProperties": False,
        },
    }


def system(size: int) -> list[dict[str, Any]]:
    """Three blocks, of which the first is another one each time."""
    header = f"x-anthropic-billing-header: cc_version=2.1.{secrets.randbelow(900)}.abc; cch={secrets.token_hex(3)};"
    return [
        {"type": "text", "text": header},
        {"type": "text", "text": "You are an agent for code.", "cache_control": {"type": "ephemeral"}},
        {
            "type": "text",
            "text": _FILLER * (size // len(_FILLER)),
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
        },
    ]


def opening(text: str) -> list[dict[str, Any]]:
    """The first messages of a session: the user's, with a reminder before it, and one of the system."""
    return [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "<system-reminder>\nToday is a day.\n</system-reminder>\n"},
                {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}},
            ],
        },
        {"role": "system", "content": "The working folder is /home/user/project."},
    ]


def called(number: int, name: str = "Tool1") -> list[dict[str, Any]]:
    """A round of the conversation: a call by the assistant, and its result."""
    return [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "EqoBCkgIARABGAIiQ"},
                {"type": "text", "text": f"I look at file {number}."},
                {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {"file_path": f"/f{number}"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": f"toolu_{number}",
                    "content": [{"type": "text", "text": f"There are {number} lines."}],
                    "cache_control": {"type": "ephemeral"},
                },
                {"type": "text", "text": "<system-reminder>\nBe quick.\n</system-reminder>"},
            ],
        },
    ]


def request(model: str, messages: list[dict[str, Any]], *, tools: int = 12, size: int = 2600) -> dict[str, Any]:
    """The body of POST /v1/messages?beta=true; at its usual size it has about 50 KB."""
    offered = [tool(number, size) for number in range(tools)]
    if offered:
        offered[-1]["defer_loading"] = True
    return {
        "model": model,
        "messages": messages,
        "system": system(size * 4),
        "tools": [*offered, {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}],
        "metadata": {"user_id": '{"device_id":"d","account_uuid":"","session_id":"s"}'},
        "max_tokens": 32000,
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "stream": True,
    }
