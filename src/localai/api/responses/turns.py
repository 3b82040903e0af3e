"""Conversations of this API, which are lists of items, as the turns that engines know."""

import asyncio
import json
from collections.abc import Sequence

import msgspec

from localai.api.openai.messages import PAUSE
from localai.api.responses.approvals import Approvals, result
from localai.api.responses.hosted import SEARCH
from localai.api.responses.items import ItemBody
from localai.api.responses.parts import Reader
from localai.api.responses.sealed import unseal
from localai.api.responses.tools import flat
from localai.core.errors import InvalidRequest
from localai.core.task import Call, Message, TextPart
from localai.service.filesearch import passages

SUMMARY = "The conversation so far, in short:\n"
"""What a compaction is introduced with."""

Placed = tuple[str, ItemBody]
"""An item, and its path in errors."""


async def turns(bodies: Sequence[Placed], reader: Reader, approvals: Approvals | None = None) -> tuple[Message, ...]:
    """The turns of a conversation; `approvals` collects the calls that were agreed to, whose results are empty here.

    A thought, a message and calls of the model that follow each other are one turn, as in the chat API: the same
    conversation is the same prompt in both.

    Raises:
        InvalidRequest: An item lacks what its type needs, or has a part that no engine takes.
    """
    builder = _Builder(reader, approvals or Approvals(bodies))
    for index, (place, body) in enumerate(bodies):
        await builder.add(body, place)
        if index % PAUSE == PAUSE - 1:
            await asyncio.sleep(0)
    return builder.done()


class _Builder:
    """Collects turns; the last may be one of the model's that is still open for calls."""

    def __init__(self, reader: Reader, approvals: Approvals) -> None:
        self._reader = reader
        self._approvals = approvals
        self._turns: list[Message] = []
        self._thought: str | None = None

    def done(self) -> tuple[Message, ...]:
        """All turns; a thought that led to nothing is one of its own."""
        self._think()
        return tuple(self._turns)

    async def add(self, item: ItemBody, place: str) -> None:
        match item.type:
            case "message":
                await self._message(item, place)
            case "reasoning":
                self._think()
                self._thought = thought(item) or None
            case "function_call" | "custom_tool_call":
                self._call(_call(item, place))
            case "function_call_output" | "custom_tool_call_output":
                await self._result(item, place)
            case "mcp_call":
                self._made(item, item.name or "tool", item.arguments or "{}", result(item))
            case "file_search_call":
                queries = json.dumps({"queries": item.queries or []}, ensure_ascii=False)
                self._made(item, SEARCH, queries, _passages(item))
            case "mcp_approval_response":
                self._decision(item, place)
            case "compaction":
                self._put(Message(role="user", content=(TextPart(text=SUMMARY + _summary(item, place)),)))
            case "compaction_trigger":
                raise InvalidRequest("Compact a conversation by `POST /v1/responses/compact`.", param=f"{place}.type")
            case _:
                pass

    async def _message(self, item: ItemBody, place: str) -> None:
        if item.role is None:
            raise InvalidRequest("A message needs `role`.", param=f"{place}.role")
        if item.content is None:
            raise InvalidRequest("A message needs `content`.", param=f"{place}.content")
        content = await self._reader.read(item.content, f"{place}.content")
        match item.role:
            case "system" | "developer":
                self._put(Message(role="system", content=content))
            case "user":
                self._put(Message(role="user", content=content))
            case "assistant":
                self._turns.append(Message(role="assistant", content=content, thought=self._taken()))

    async def _result(self, item: ItemBody, place: str) -> None:
        if item.call_id is None:
            raise InvalidRequest(f"An item of type `{item.type}` needs `call_id`.", param=f"{place}.call_id")
        if item.output is None:
            raise InvalidRequest(f"An item of type `{item.type}` needs `output`.", param=f"{place}.output")
        content = await self._reader.read(item.output, f"{place}.output")
        self._put(Message(role="tool", content=content, call_id=item.call_id))

    def _made(self, item: ItemBody, name: str, arguments: str, output: str | None) -> None:
        """A call that this server made; one whose result is not known says nothing."""
        if output is not None:
            identifier = item.id or "call"
            self._call(Call(id=identifier, name=name, arguments=arguments))
            self._put(Message(role="tool", content=(TextPart(text=output),), call_id=identifier))

    def _decision(self, item: ItemBody, place: str) -> None:
        decision = self._approvals.decide(item, place)
        if decision is not None:
            request, refusal = decision
            self._call(Call(id=request.id or "", name=request.name or "", arguments=request.arguments or "{}"))
            said = () if refusal is None else (TextPart(text=refusal),)
            self._put(Message(role="tool", content=said, call_id=request.id))

    def _call(self, call: Call) -> None:
        last = self._turns[-1] if self._turns else None
        if last is not None and last.role == "assistant" and self._thought is None:
            self._turns[-1] = msgspec.structs.replace(last, calls=(*last.calls, call))
        else:
            self._turns.append(Message(role="assistant", thought=self._taken(), calls=(call,)))

    def _put(self, message: Message) -> None:
        self._think()
        self._turns.append(message)

    def _think(self) -> None:
        if self._thought is not None:
            self._turns.append(Message(role="assistant", thought=self._taken()))

    def _taken(self) -> str | None:
        thought, self._thought = self._thought, None
        return thought


def thought(item: ItemBody) -> str:
    """The text of a reasoning item: as it was, as it was sealed here, or as it was summed up."""
    if item.content:
        return "".join(part.text or "" for part in item.content)
    sealed = unseal(item.encrypted_content) if item.encrypted_content else None
    return sealed if sealed is not None else "\n\n".join(part.text or "" for part in item.summary or ())


def _call(item: ItemBody, place: str) -> Call:
    if item.call_id is None or not item.name:
        missing = "name" if item.call_id is not None else "call_id"
        raise InvalidRequest(f"An item of type `{item.type}` needs `{missing}`.", param=f"{place}.{missing}")
    if item.type == "custom_tool_call":
        arguments = json.dumps({"input": item.input or ""}, ensure_ascii=False)
    else:
        arguments = item.arguments or "{}"
    return Call(id=item.call_id, name=flat(item.name, item.namespace), arguments=arguments)


def _passages(item: ItemBody) -> str | None:
    """What a search told the model; None where that is not known."""
    if item.found is not None or item.results is None:
        return item.found
    hits = [(each.filename or "", each.text or "") for each in item.results]
    return passages(hits)


def _summary(item: ItemBody, place: str) -> str:
    summary = unseal(item.encrypted_content or "")
    if summary is None:
        raise InvalidRequest(
            "This compaction was not made by this server, and only its maker can read it.",
            param=f"{place}.encrypted_content",
        )
    return summary
