"""POST /api/generate: a prompt, with or without a template, to a task."""

from typing import Annotated

from pydantic import Field

from localai.api.ollama.chat import Answering, Asked
from localai.api.ollama.fields import Anything, thinking
from localai.api.ollama.messages import Images, parts
from localai.api.openai.inputs import TokenIds
from localai.core.errors import InvalidRequest
from localai.core.task import Chat, Infill, Message, Prompt, Raw, TextPart
from localai.service.media import Media


class GenerateBody(Answering):
    """A request to continue a prompt. Fields this server does not know are ignored; no prompt loads the model."""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    raw: bool | None = None
    images: Images | None = None
    context: TokenIds | None = None
    width: Anything = None
    height: Anything = None
    steps: Annotated[Anything, Field(description="Of image models only.")] = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to answer, so that the request is about loading the model only."""
        return not (self.prompt or self.suffix or self.images)


async def asked(body: GenerateBody, media: Media, *, chats: bool) -> Asked:
    """Translate a request that is not empty.

    Args:
        body: The request.
        media: Turns images into bytes.
        chats: The model knows conversations; one that does not continues the prompt as it is.

    Raises:
        InvalidRequest: With the field at fault in `param`; also two fields that exclude each other.
    """
    _check(body)
    prompt = await _prompt(body, media, chats=chats)
    return Asked(body.task(prompt), bool(body.logprobs), body.keep_alive, body.settings.room)


async def _prompt(body: GenerateBody, media: Media, *, chats: bool) -> Prompt:
    text = body.prompt or ""
    if body.suffix:
        return Infill(prefix=text, suffix=body.suffix)
    if body.raw or not (chats or body.system or body.images or body.think):
        return Raw(text=text)
    system = (Message(role="system", content=(TextPart(text=body.system),)),) if body.system else ()
    user = Message(role="user", content=await parts(text, body.images or (), "", media))
    think, effort = thinking(body.think)
    return Chat(messages=(*system, user), thinking=think, effort=effort)


def _check(body: GenerateBody) -> None:
    if body.template:
        raise InvalidRequest(
            "A request cannot bring its own `template` here: send `raw` with the prompt written out, or make a model "
            "with another template.",
            param="template",
        )
    taken = {name: bool(getattr(body, name)) for name in ("raw", "suffix", "system", "images", "context")}
    for first, others in (("suffix", ("system", "images", "context")), ("raw", ("system", "images", "context"))):
        for other in others:
            if taken[first] and taken[other]:
                raise InvalidRequest(f"`{first}` and `{other}` exclude each other.", param=other)
    if taken["context"] and taken["images"]:
        raise InvalidRequest("`context` holds text only; send `images` without it.", param="images")
