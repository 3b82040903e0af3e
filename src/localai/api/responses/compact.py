"""POST /v1/responses/compact: a conversation in short, which stands for its beginning from then on."""

import time
from typing import Any

from localai.api.answer import Answer
from localai.api.responses.prompt import Prompt
from localai.api.responses.response import usage
from localai.api.responses.sealed import seal
from localai.core.task import Chat, Generate, Message, TextPart, ToolChoice
from localai.service.responses import item_id

_ASK = (
    "Write down this conversation in short, for somebody who has to go on with it and sees nothing else: what was "
    "asked, what was found out and decided, what was done, and what is left to do. Keep names, numbers, paths and "
    "code that matter. Write nothing but this summary."
)
_LENGTH = 4096
"""Tokens of a summary."""


def asked(prompt: Prompt) -> Generate:
    """The task that sums the conversation up."""
    messages = (*prompt.chat.messages, Message(role="user", content=(TextPart(text=_ASK),)))
    chat = Chat(
        messages=messages,
        tools=prompt.chat.tools,
        tool_choice=ToolChoice(mode="none"),
        thinking=prompt.chat.thinking,
        effort=prompt.chat.effort,
    )
    return Generate(prompt=chat, max_tokens=_LENGTH)


def reply(answer: Answer, prompt: Prompt, identifier: str) -> dict[str, Any]:
    """The answer object: what the user said, and the rest in one item that only this server reads."""
    items = [*prompt.history, *prompt.input]
    kept = [item for item in items if item["type"] == "message" and item.get("role") == "user"]
    summary = {
        "id": item_id(identifier, "cmp", len(kept), output=True),
        "type": "compaction",
        "encrypted_content": seal(answer.text),
    }
    return {
        "id": identifier,
        "object": "response.compaction",
        "created_at": int(time.time()),
        "output": [*kept, summary],
        "usage": usage(answer.done.usage),
    }
