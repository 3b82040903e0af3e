"""What POST /v1/messages and /v1/messages/count_tokens take, and the task it becomes."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from localai.api.anthropic import thinking
from localai.api.anthropic.blocks import Blocks
from localai.api.anthropic.messages import Messages, conversation
from localai.api.anthropic.sources import Sources
from localai.api.anthropic.thinking import ThinkingBody
from localai.api.anthropic.tools import ChoiceBody, Tools, offer
from localai.api.openai.fields import TOKEN_LIMIT, Body, Seconds, Stops, Unit, Whole
from localai.api.openai.sampling import SEEDS
from localai.core.errors import InvalidRequest
from localai.core.task import Chat, Format, FreeText, Generate, Sampling, Schema

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class FormatBody(Body):
    """JSON that is valid against a schema."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputBody(Body):
    """How much effort goes into the answer, and which form it has."""

    effort: Effort | None = None
    format: FormatBody | None = None


class Accepted(Body):
    """Fields about Anthropic's own cloud; any value of theirs is fine and changes nothing."""

    metadata: Any = None
    service_tier: Any = None
    container: Any = None
    mcp_servers: Any = None
    context_management: Any = None
    cache_control: Any = None
    inference_geo: Any = None
    speed: Any = None
    diagnostics: Any = None
    betas: Any = None
    user_profile_id: Any = None
    workspace_id: Any = None


class CountBody(Accepted):
    """A conversation whose tokens are counted."""

    model: str | None = Field(default=None, max_length=512)
    messages: Messages
    system: Blocks | None = None
    tools: Tools | None = None
    tool_choice: ChoiceBody | None = None
    thinking: ThinkingBody | None = None
    output_config: OutputBody | None = None
    output_format: FormatBody | None = None

    def format(self) -> Format:
        """The form that the answer must have.

        Raises:
            InvalidRequest: Two forms.
        """
        newer = self.output_config.format if self.output_config is not None else None
        if newer is not None and self.output_format is not None:
            raise InvalidRequest(
                "Only one of `output_config.format` and `output_format` can shape the answer.", param="output_format"
            )
        asked = newer or self.output_format
        return FreeText() if asked is None else Schema(schema=asked.schema_)


class MessagesBody(CountBody):
    """A request of the messages API. Fields this server does not know are ignored."""

    max_tokens: Annotated[Whole, Field(ge=0)] | None = None
    stream: bool | None = None
    stop_sequences: Stops | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Unit | None = None
    top_k: Annotated[Whole, Field(ge=0, le=TOKEN_LIMIT)] | None = None
    min_p: Unit | None = None
    seed: Annotated[Whole, Field(ge=0, le=2**64 - 1)] | None = None
    keep_alive: Seconds | None = None

    def sampling(self) -> Sampling:
        """How the next token is chosen."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            seed=None if self.seed is None else self.seed % SEEDS,
        )


class Asked(NamedTuple):
    """A request as a task, and what the client wants to see of its answer."""

    task: Generate
    stream: bool
    thoughts: bool
    """Whether the answer has thinking blocks at all."""
    shown: bool
    """Whether they have their text."""
    keep_alive: float | None


async def asked(body: MessagesBody, sources: Sources) -> Asked:
    """Translate a request.

    Raises:
        InvalidRequest: With the field at fault in `param`.
    """
    task = Generate(
        prompt=await chat(body, sources),
        format=body.format(),
        sampling=body.sampling(),
        max_tokens=None if body.max_tokens is None else min(body.max_tokens, TOKEN_LIMIT),
        stop=body.stop_sequences or (),
    )
    return Asked(
        task=task,
        stream=bool(body.stream),
        thoughts=thinking.is_told(body.thinking),
        shown=thinking.is_shown(body.thinking),
        keep_alive=body.keep_alive,
    )


async def chat(body: CountBody, sources: Sources) -> Chat:
    """The conversation, with an assistant's last message as the beginning of the answer.

    Raises:
        InvalidRequest: With the field at fault in `param`.
    """
    messages = await conversation(body.system or (), body.messages, sources)
    offered = offer(body.tools, body.tool_choice)
    # A held answer begins at once, without thoughts; said here, so that it is counted as it is written.
    held = not isinstance(body.format(), FreeText)
    return Chat(
        messages=messages,
        tools=offered.tools,
        tool_choice=offered.choice,
        parallel_calls=offered.parallel,
        thinking=False if held else thinking.wanted(body.thinking),
        effort=body.output_config.effort if body.output_config is not None else None,
        continue_last=messages[-1].role == "assistant" and not messages[-1].calls if messages else False,
    )
