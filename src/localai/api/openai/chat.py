"""POST /v1/chat/completions: a conversation to tasks, events to the answer."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from pydantic import Field

from localai.api.answer import Answer
from localai.api.openai.accepted import Accepted
from localai.api.openai.choice import choice
from localai.api.openai.chunks import Chunks
from localai.api.openai.counts import timed, timing_fields, together, usage_fields
from localai.api.openai.documents import Stored
from localai.api.openai.fields import TOKEN_LIMIT, Body, Tokens, Whole, items
from localai.api.openai.formats import Shaped
from localai.api.openai.head import Head
from localai.api.openai.messages import Messages, conversation
from localai.api.openai.sampling import Sampled
from localai.api.openai.tools import Tooled
from localai.core.errors import InvalidRequest, TaskNotSupported
from localai.core.task import Chat, Generate
from localai.service.media import Media

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class StreamOptions(Body):
    """What a stream says besides its text."""

    include_usage: bool | None = None


class TemplateOptions(Body):
    """The one template variable a request may set."""

    enable_thinking: bool | None = None


class ChatBody(Sampled, Shaped, Tooled, Accepted):
    """A request of the chat API. Fields this server does not know are ignored."""

    messages: Messages
    max_completion_tokens: Tokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[Whole, Field(ge=0, le=20)] | None = None
    stream_options: StreamOptions | None = None
    reasoning_effort: Effort | None = None
    chat_template_kwargs: TemplateOptions | None = None
    continue_final_message: bool | None = None
    add_generation_prompt: bool | None = None
    return_progress: bool | None = None


class Asked(NamedTuple):
    """A chat request as tasks (one for each choice) and what the client wants to see of them."""

    tasks: tuple[Generate, ...]
    stream: bool
    usage: bool
    logprobs: bool
    legacy: bool
    progress: bool
    customs: frozenset[str]
    keep_alive: float | None

    def chunks(self, head: Head) -> Chunks:
        """The writer of the streamed answer."""
        return Chunks(
            head,
            choices=len(self.tasks),
            usage=self.usage,
            logprobs=self.logprobs,
            legacy=self.legacy,
            progress=self.progress,
            customs=self.customs,
        )


async def asked(body: ChatBody, media: Media, stored: Stored | None = None) -> Asked:
    """Translate a request; `stored` gets the files that it names by their ids.

    Raises:
        InvalidRequest: With the field at fault in `param`.
    """
    if body.top_logprobs and not body.logprobs:
        raise InvalidRequest("`top_logprobs` needs `logprobs: true`.", param="top_logprobs")
    if "audio" in (items(body.modalities) or ()):
        raise TaskNotSupported(
            'No model here answers with sound; ask for `"modalities": ["text"]`.', param="modalities"
        )
    limit = body.max_completion_tokens or body.max_tokens
    first = Generate(
        prompt=await _chat(body, media, stored),
        format=body.format(),
        sampling=body.sampling(),
        max_tokens=min(limit, TOKEN_LIMIT) if limit is not None else None,
        stop=body.stop or (),
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        cache=body.cache_prompt is not False,
        adapters=body.adapters(),
    )
    others = [msgspec.structs.replace(first, sampling=body.sampling(choice)) for choice in range(1, body.n or 1)]
    return Asked(
        tasks=(first, *others),
        stream=bool(body.stream),
        usage=body.stream_options is not None and bool(body.stream_options.include_usage),
        logprobs=bool(body.logprobs),
        legacy=body.legacy(),
        progress=bool(body.return_progress),
        customs=body.customs(),
        keep_alive=body.keep_alive,
    )


async def _chat(body: ChatBody, media: Media, stored: Stored | None) -> Chat:
    messages = await conversation(body.messages, media, stored)
    continues = bool(body.continue_final_message)
    if continues and messages[-1].role != "assistant":
        raise InvalidRequest(
            "`continue_final_message` needs a last message of the role `assistant`.", param="continue_final_message"
        )
    if continues and body.add_generation_prompt:
        raise InvalidRequest(
            "`continue_final_message` and `add_generation_prompt` exclude each other.", param="add_generation_prompt"
        )
    offer = body.offer()
    return Chat(
        messages=messages,
        tools=offer.tools,
        tool_choice=offer.choice,
        parallel_calls=body.parallel_tool_calls is not False and not body.legacy(),
        thinking=_thinking(body),
        effort=None if body.reasoning_effort == "none" else body.reasoning_effort,
        continue_last=continues,
    )


def _thinking(body: ChatBody) -> bool | None:
    if body.chat_template_kwargs is not None and body.chat_template_kwargs.enable_thinking is not None:
        return body.chat_template_kwargs.enable_thinking
    return None if body.reasoning_effort is None else body.reasoning_effort != "none"


def reply(answers: Sequence[Answer], head: Head, wanted: Asked) -> dict[str, Any]:
    """The answer object."""
    dones = [answer.done for answer in answers]
    body = {
        **head.fields("chat.completion"),
        "choices": [
            choice(answer, index, logprobs=wanted.logprobs, legacy=wanted.legacy, customs=wanted.customs)
            for index, answer in enumerate(answers)
        ],
        "usage": usage_fields(together([done.usage for done in dones], choices=len(dones))),
    }
    return {**body, "timings": timing_fields(dones[0])} if timed(dones[0]) else body
