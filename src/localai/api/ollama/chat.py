"""POST /api/chat: a conversation to a task."""

from typing import Annotated, NamedTuple

import msgspec
from pydantic import Field

from localai.api.ollama.fields import KeepAlive, Named, Think, thinking
from localai.api.ollama.formats import Wanted, constraint
from localai.api.ollama.messages import Messages, conversation
from localai.api.ollama.options import Options
from localai.api.ollama.schemas import plain
from localai.api.openai.fields import Whole
from localai.api.openai.tools import TOOLS, Choice, Offer, ToolBody, Tooled
from localai.core.errors import InvalidRequest
from localai.core.task import Chat, Generate, Prompt
from localai.service.media import Media


class Answering(Named):
    """The fields that every request for an answer shares."""

    format: Wanted = None
    options: Options | None = None
    think: Think | None = None
    stream: bool | None = None
    keep_alive: KeepAlive = None
    logprobs: bool | None = None
    top_logprobs: Annotated[Whole, Field(ge=0, le=20)] | None = None

    @property
    def settings(self) -> Options:
        """The options, or none."""
        return self.options or Options()

    @property
    def streamed(self) -> bool:
        """Whether the answer comes in pieces; it does unless the client says no."""
        return self.stream is not False

    def task(self, prompt: Prompt) -> Generate:
        """The task of answering `prompt` as this request wants it.

        Raises:
            InvalidRequest: `top_logprobs` without `logprobs`.
            UnsupportedSchema: The format is nested too deeply.
        """
        if self.top_logprobs and not self.logprobs:
            raise InvalidRequest("`top_logprobs` needs `logprobs: true`.", param="top_logprobs")
        options = self.settings
        return Generate(
            prompt=prompt,
            format=constraint(self.format),
            sampling=options.sampling(),
            max_tokens=options.limit,
            stop=options.stop or (),
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
        )


class ChatBody(Answering):
    """A request of the chat API. Fields this server does not know are ignored; no messages load the model."""

    messages: Messages | None = None
    tools: Annotated[list[ToolBody], Field(max_length=TOOLS)] | None = None
    tool_choice: Choice | None = None


class Asked(NamedTuple):
    """A request as a task, and what the client wants to see of it."""

    task: Generate
    logprobs: bool
    keep_alive: float | None
    room: int | None
    """Tokens of context asked for."""


async def asked(body: ChatBody, media: Media) -> Asked:
    """Translate a request that has messages.

    Raises:
        InvalidRequest: With the field at fault in `param`.
    """
    turns = await conversation(body.messages or (), media)
    offer = _offer(body)
    think, effort = thinking(body.think)
    chat = Chat(
        messages=turns,
        tools=offer.tools,
        tool_choice=offer.choice,
        thinking=think,
        effort=effort,
        continue_last=turns[-1].role == "assistant" and not turns[-1].calls,
    )
    return Asked(body.task(chat), bool(body.logprobs), body.keep_alive, body.settings.room)


def _offer(body: ChatBody) -> Offer:
    """The tools and the rule for choosing among them, which Ollama itself does not have; schemas are JSON schemas."""
    offer = Tooled(tools=body.tools, tool_choice=body.tool_choice).offer()
    tools = tuple(msgspec.structs.replace(tool, parameters=plain(tool.parameters, "tools")) for tool in offer.tools)
    return Offer(tools, offer.choice)
