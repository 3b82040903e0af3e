"""Conversations as llama.cpp's chat templates take them, also by templates that know no tools or no system role."""

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any, assert_never

from localai.core.errors import InvalidRequest
from localai.core.task import AudioPart, Chat, ImagePart, Message, Part, TextPart, Tool
from localai.core.task import Value as Frozen

_IMAGES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}


class Template(Frozen, frozen=True):
    """What a model's chat template can do."""

    tools: bool = False
    system: bool = True
    midway: bool = True
    """It takes a system message behind the first turn."""
    alternating: bool = False
    """It refuses two turns of the same role in a row."""
    thinking: bool = False


def messages(chat: Chat, template: Template, *, system: str | None, native: bool, forced: bool) -> list[dict[str, Any]]:
    """Write the turns of a conversation.

    Args:
        chat: The conversation.
        template: What the template can do.
        system: Put first when the conversation has no system message.
        native: Leave tools, calls and results to the template; otherwise they are written into the text.
        forced: A call will be forced: the instructions do not offer to answer in prose.

    Raises:
        InvalidRequest: There is no message.
    """
    if not chat.messages:
        raise InvalidRequest("A conversation needs at least one message.", param="messages")
    turns = list(chat.messages)
    if system and turns[0].role != "system":
        turns.insert(0, Message(role="system", content=(TextPart(text=system),)))
    if not native:
        shown = chat.tools if chat.tool_choice.mode != "none" else ()
        turns = _plain(turns)
        if shown:
            turns = _with_system(turns, _instructions(shown, forced=forced, several=chat.parallel_calls))
    if not (template.system and template.midway):
        turns = _leading(turns)
    if not template.system:
        turns = _without_system(turns)
    if template.alternating:
        turns = _alternating(turns)
    return [_written(turn) for turn in turns]


def tools(offered: Iterable[Tool]) -> list[dict[str, Any]]:
    """Tools as the templates that know them take them."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": _parameters(tool)},
        }
        for tool in offered
    ]


def _parameters(tool: Tool) -> dict[str, Any]:
    return tool.parameters or {"type": "object", "properties": {}}


def _instructions(offered: Sequence[Tool], *, forced: bool, several: bool) -> str:
    lines = [
        json.dumps(
            {"name": tool.name, "description": tool.description, "parameters": _parameters(tool)}, ensure_ascii=False
        )
        for tool in offered
    ]
    form = '{"name": "<tool name>", "arguments": {<arguments>}}'
    if several:
        form += " (or a JSON array of such objects for several calls)"
    how = (
        f"Answer with a call of a tool: only JSON of the form {form}, nothing else."
        if forced
        else f"When a tool helps, answer only with JSON of the form {form}, nothing else. Otherwise answer in words."
    )
    return "\n".join(["You can call these tools:", *lines, how])


def _plain(turns: Sequence[Message]) -> list[Message]:
    """Calls and results of the history, as text in turns that every template knows."""
    names = {call.id: call.name for turn in turns for call in turn.calls}
    result: list[Message] = []
    for turn in turns:
        if turn.calls:
            calls = [
                f'{{"name": {json.dumps(call.name)}, "arguments": {call.arguments or "{}"}}}' for call in turn.calls
            ]
            text = calls[0] if len(calls) == 1 else f"[{', '.join(calls)}]"
            result.append(Message(role="assistant", content=(*turn.content, TextPart(text=text))))
        elif turn.role == "tool":
            name = turn.name or names.get(turn.call_id or "") or "the tool"
            before = TextPart(text=f"Result of {name}: ")
            result.append(Message(role="user", content=(before, *turn.content)))
        else:
            result.append(turn)
    return result


def _with_system(turns: list[Message], text: str) -> list[Message]:
    if turns[0].role == "system":
        joined = Message(role="system", content=(*turns[0].content, TextPart(text="\n\n" + text)))
        return [joined, *turns[1:]]
    return [Message(role="system", content=(TextPart(text=text),)), *turns]


def _leading(turns: list[Message]) -> list[Message]:
    """One system message at the beginning; later ones become user messages where they stand, as in the turn before."""
    first = next((place for place, turn in enumerate(turns) if turn.role != "system"), len(turns))
    content: list[Part] = []
    for turn in turns[:first]:
        content += [TextPart(text="\n\n"), *turn.content] if content else turn.content
    later = [Message(role="user", content=turn.content) if turn.role == "system" else turn for turn in turns[first:]]
    return [Message(role="system", content=tuple(content)), *later] if first else later


def _without_system(turns: list[Message]) -> list[Message]:
    """System messages become the beginning of the next user message."""
    held: tuple[Part, ...] = ()
    result: list[Message] = []
    for turn in turns:
        if turn.role == "system":
            held = (*held, *turn.content, TextPart(text="\n\n"))
        elif turn.role == "user" and held:
            result.append(Message(role="user", content=(*held, *turn.content)))
            held = ()
        else:
            result.append(turn)
    if held:
        result.append(Message(role="user", content=held[:-1]))
    return result


def _alternating(turns: list[Message]) -> list[Message]:
    """Turns of the same role in a row become one."""
    result: list[Message] = []
    for turn in turns:
        last = result[-1] if result else None
        if last is not None and last.role == turn.role and turn.role != "tool" and not (last.calls or turn.calls):
            joined = (*last.content, TextPart(text="\n\n"), *turn.content)
            result[-1] = Message(role=turn.role, content=joined, thought=turn.thought)
        else:
            result.append(turn)
    return result


def _written(turn: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": turn.role, "content": _content(turn.content)}
    if turn.thought:
        written["reasoning_content"] = turn.thought
    if turn.calls:
        written["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
            for call in turn.calls
        ]
    if turn.role == "tool":
        written["tool_call_id"] = turn.call_id or ""
    if turn.name:
        written["name"] = turn.name
    return written


def _content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    """One text where there is only text: templates that know no parts take it too."""
    if all(isinstance(part, TextPart) for part in parts):
        return "".join(part.text for part in parts if isinstance(part, TextPart))
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    match part:
        case TextPart(text=text):
            return {"type": "text", "text": text}
        case ImagePart(data=data):
            kind = next((name for start, name in _IMAGES.items() if data.startswith(start)), "png")
            url = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
            return {"type": "image_url", "image_url": {"url": url}}
        case AudioPart(data=data, format=form):
            return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": form}}
        case _:
            assert_never(part)
