"""The bodies of POST /v1/responses and of the routes beside it."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from localai.api.openai.chat import Effort
from localai.api.openai.fields import TOKEN_LIMIT, Body, Tokens, Whole
from localai.api.openai.sampling import Sampled
from localai.api.responses.items import Items
from localai.api.responses.tools import Choice, Tools
from localai.core.errors import InvalidRequest
from localai.core.task import AnyJson, Format, FreeText, Schema

LOGPROBS = "message.output_text.logprobs"
SEALED = "reasoning.encrypted_content"
RESULTS = "file_search_call.results"

Id = Annotated[str, Field(min_length=1, max_length=256)]
Label = Annotated[str, Field(max_length=512)]
Metadata = Annotated[dict[Annotated[str, Field(min_length=1, max_length=64)], Label], Field(max_length=16)]
"""Up to 16 pairs of texts that a client labels its objects with."""


class ConversationBody(Body):
    """The conversation a response belongs to."""

    id: Id


def _id(given: object) -> object:
    return {"id": given} if isinstance(given, str) else given


class ReasoningBody(Body):
    """How much to think, and whether to tell about it in a summary."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed", "none"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class FormBody(Body):
    """Text, any JSON object, or JSON that is valid against a schema; every schema is enforced."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = Field(default=None, max_length=256)
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None

    def shown(self) -> dict[str, Any]:
        """The format as it is given back."""
        if self.type != "json_schema":
            return {"type": self.type}
        return {
            "type": self.type,
            "name": self.name or "response",
            "description": self.description,
            "schema": self.schema_,
            "strict": True,
        }


class TextBody(Body):
    """What the text of the answer is like."""

    format: FormBody | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Context(Body):
    """The fields that say what the model reads: shared by all routes that have a prompt."""

    model: str | None = Field(default=None, max_length=512)
    input: Items | None = None
    instructions: str | None = None
    previous_response_id: Id | None = None
    conversation: Annotated[
        ConversationBody | None, BeforeValidator(_id, json_schema_input_type=str | ConversationBody | None)
    ] = None
    tools: Tools | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningBody | None = None
    text: TextBody | None = None
    truncation: Literal["auto", "disabled"] | None = None

    def effort(self) -> Effort | None:
        """How much to think."""
        return None if self.reasoning is None else self.reasoning.effort

    def summary(self) -> str | None:
        """The kind of summary of the thoughts that was asked for."""
        if self.reasoning is None:
            return None
        asked = self.reasoning.summary or self.reasoning.generate_summary
        return None if asked == "none" else asked

    def format(self) -> Format:
        """What shape the answer must have.

        Raises:
            InvalidRequest: A schema format without a schema.
        """
        form = None if self.text is None else self.text.format
        match form:
            case None | FormBody(type="text"):
                return FreeText()
            case FormBody(type="json_object"):
                return AnyJson() if form.schema_ is None else Schema(schema=form.schema_)
            case FormBody(schema_=dict() as schema):
                return Schema(schema=schema, name=form.name or "response")
            case FormBody():
                raise InvalidRequest("A format of type `json_schema` needs a schema.", param="text.format.schema")


class ResponseBody(Context, Sampled):
    """A request for a response. Fields this server does not know are ignored."""

    store: bool | None = None
    background: bool | None = None
    metadata: Metadata | None = None
    include: Annotated[list[Label], Field(max_length=64)] | None = None
    max_output_tokens: Tokens | None = None
    max_tool_calls: Annotated[Whole, Field(ge=0)] | None = None
    top_logprobs: Annotated[Whole, Field(ge=0, le=20)] | None = None
    prompt: Any = None
    prompt_cache_key: Label | None = None
    safety_identifier: Label | None = None
    user: Label | None = None
    service_tier: SkipJsonSchema[Any] = None
    stream_options: SkipJsonSchema[Any] = None
    client_metadata: SkipJsonSchema[Any] = None
    context_management: SkipJsonSchema[Any] = None
    background_options: SkipJsonSchema[Any] = None
    moderation: SkipJsonSchema[Any] = None
    prompt_cache_options: SkipJsonSchema[Any] = None
    prompt_cache_retention: SkipJsonSchema[Any] = None
    image: SkipJsonSchema[Any] = None
    access_programs: SkipJsonSchema[Any] = None

    def check(self) -> None:
        """Refuse what cannot be done, or not together.

        Raises:
            InvalidRequest: With the field at fault in `param`.
        """
        if self.prompt is not None:
            raise InvalidRequest("This server keeps no prompt templates; send `instructions`.", param="prompt")
        if self.previous_response_id is not None and self.conversation is not None:
            raise InvalidRequest(
                "`previous_response_id` and `conversation` exclude each other.", param="previous_response_id"
            )
        if self.background and self.store is False:
            raise InvalidRequest("A response in the background is always stored; leave out `store`.", param="store")
        if self.n is not None and self.n > 1:
            raise InvalidRequest("A request has one response; ask several times for more.", param="n")

    def limit(self) -> int | None:
        """The most tokens to generate."""
        asked = self.max_output_tokens or self.max_tokens
        return None if asked is None else min(asked, TOKEN_LIMIT)

    def wants(self, what: str) -> bool:
        """Whether `include` asks for this."""
        return what in (self.include or ())

    def logprobs(self) -> int | None:
        """How many alternatives of each token are asked for; None for no log-probabilities at all."""
        return self.top_logprobs or 0 if self.wants(LOGPROBS) or self.top_logprobs else None


class MessageBody(ResponseBody):
    """A request that comes as a message on a WebSocket."""

    type: Literal["response.create"]
    stream_id: Label | None = None
    """Given back with every event."""
    generate: bool | None = None
    """False: read the request and give it an id to continue from, without an answer."""


class CompactBody(Context):
    """A request for a short form of a conversation."""


class ConversationCreateBody(Body):
    """A new conversation."""

    items: Annotated[Items, Field(max_length=20)] | None = None
    metadata: Metadata | None = None


class ConversationUpdateBody(Body):
    """New metadata of a conversation."""

    metadata: Metadata | None


class ConversationItemsBody(Body):
    """Items to append to a conversation."""

    items: Annotated[Items, Field(min_length=1, max_length=20)]
