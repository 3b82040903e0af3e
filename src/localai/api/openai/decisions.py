"""POST /v1/decisions: questions about an input, answered with probabilities (OpenAI's API)."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from localai.api.answer import Answer
from localai.api.openai.fields import Body
from localai.api.openai.judge import (
    MOST,
    QUESTIONS,
    YES_NO,
    Asked,
    Option,
    Question,
    certainty,
    expected,
    precision,
    task,
    used,
    weigh,
)
from localai.core.errors import InvalidRequest
from localai.core.task import ImagePart, Part, TextPart
from localai.service.media import Media

ITEMS = 4096
"""Items of the input."""


class PieceBody(Body):
    """A piece of the input or of a question."""

    type: str
    text: str | None = None
    image_url: str | None = None
    data: dict[str, Any] | list[dict[str, Any]] | None = None
    refusal: str | None = None


Content = str | Annotated[list[PieceBody], Field(max_length=256)]


class ItemBody(Body):
    """A message, a call, or what came of a call."""

    type: str = "message"
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: Content | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    output: Content | None = None


class ChoiceBody(Body):
    """One option of a choice."""

    value: str | bool
    description: str | None = None


class LevelBody(Body):
    """One level of a score, the lowest first."""

    label: str
    description: str | None = None


class QuestionBody(Body):
    """A statement to judge, a choice to make, or a score to give."""

    type: Literal["predicate", "choice", "score"]
    instructions: Content
    name: str | None = None
    choices: Annotated[list[ChoiceBody], Field(min_length=2, max_length=255)] | None = None
    levels: Annotated[list[LevelBody], Field(min_length=2, max_length=10)] | None = None


class DecisionBody(Body):
    """A request for decisions. Fields this server does not know are ignored."""

    model: str | None = Field(default=None, max_length=512)
    input: str | Annotated[list[ItemBody], Field(min_length=1, max_length=ITEMS)]
    questions: Annotated[list[QuestionBody], Field(min_length=1, max_length=QUESTIONS)]
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    safety_identifier: Any = None


async def asked(body: DecisionBody, media: Media) -> Asked:
    """Translate a request.

    Raises:
        InvalidRequest: With the field at fault in `param`.
    """
    state = await _state(body.input, media)
    questions = tuple([await _question(question, index, media) for index, question in enumerate(body.questions)])
    return Asked(tuple(task(state, question) for question in questions), questions)


async def _state(given: str | list[ItemBody], media: Media) -> tuple[Part, ...]:
    if isinstance(given, str):
        return (TextPart(text=given),)
    parts: list[Part] = []
    for index, item in enumerate(given):
        parts += await _item(item, f"input.{index}", media)
    return tuple(parts)


async def _item(item: ItemBody, place: str, media: Media) -> list[Part]:
    """One item as a paragraph of the record that the model reads."""
    match item.type:
        case "message" if item.role is not None and item.content is not None:
            who, content = item.role, item.content
        case "function_call" if item.name is not None:
            who, content = f"call of {item.name}", item.arguments or ""
        case "custom_tool_call" if item.name is not None:
            who, content = f"call of {item.name}", item.input or ""
        case "function_call_output" | "custom_tool_call_output" if item.output is not None:
            who, content = "result", item.output
        case _:
            raise InvalidRequest("This is no message, call or output of a call.", param=place)
    return [TextPart(text=f"[{who}] "), *await _parts(content, place, media), TextPart(text="\n")]


async def _parts(content: Content, place: str, media: Media) -> list[Part]:
    if isinstance(content, str):
        return [TextPart(text=content)]
    return [await _part(piece, f"{place}.content.{index}", media) for index, piece in enumerate(content)]


async def _part(piece: PieceBody, place: str, media: Media) -> Part:
    match piece:
        case PieceBody(type="input_text" | "output_text" | "text", text=str() as text):
            return TextPart(text=text)
        case PieceBody(type="refusal", refusal=str() as text):
            return TextPart(text=text)
        case PieceBody(type="input_image", image_url=str() as url):
            return ImagePart(data=await media.image(url, param=f"{place}.image_url"))
        case PieceBody(type="input_json", data=dict() | list() as data):
            return TextPart(text=orjson.dumps(data).decode())
        case _:
            raise InvalidRequest(
                "A part is `input_text`, `input_image` or `input_json`, with its content.", param=place
            )


async def _question(body: QuestionBody, index: int, media: Media) -> Question:
    place = f"questions.{index}"
    parts = tuple(await _parts(body.instructions, f"{place}.instructions", media))
    match body.type:
        case "predicate":
            return Question((TextPart(text="Is this true of the input? "), *parts), YES_NO)
        case "choice":
            return Question(parts, _choices(body, place))
        case "score":
            if body.levels is None:
                raise InvalidRequest("A score needs `levels`.", param=f"{place}.levels")
            return Question(parts, tuple(Option(level.label, level.description or "") for level in body.levels))


def _choices(body: QuestionBody, place: str) -> tuple[Option, ...]:
    if body.choices is None:
        raise InvalidRequest("A choice needs `choices`.", param=f"{place}.choices")
    values = [(type(choice.value), choice.value) for choice in body.choices]
    if len(set(values)) < len(values):
        raise InvalidRequest("The same choice is there twice.", param=f"{place}.choices")
    if len(values) > MOST:
        raise InvalidRequest(f"A choice may have at most {MOST} options here.", param=f"{place}.choices")
    return tuple(Option(_label(choice.value), choice.description or "") for choice in body.choices)


def _label(value: str | bool) -> str:  # noqa: FBT001 - a choice may be a boolean
    return value if isinstance(value, str) else str(value).lower()


def reply(answers: Sequence[Answer], model: str, body: DecisionBody, wanted: Asked) -> dict[str, Any]:
    """The answer object: one answer for each question, in order."""
    usage = used(answers)
    given = [
        _answer(question, weigh(answer, len(asked.options)))
        for question, asked, answer in zip(body.questions, wanted.questions, answers, strict=True)
    ]
    return {
        "model": model,
        "answers": given,
        "usage": {
            "input_tokens": usage.prompt,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
            "output_tokens": usage.completion,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.prompt + usage.completion,
        },
    }


def _answer(body: QuestionBody, weights: tuple[float, ...] | None) -> dict[str, Any]:
    if weights is None:
        return {"type": "refusal", "name": body.name}
    head = {"type": body.type, "name": body.name}
    match body.type:
        case "predicate":
            return {**head, "probability": weights[0]}
        case "choice":
            values = [choice.value for choice in body.choices or ()]
            probabilities = [
                {"value": value, "probability": weight} for value, weight in zip(values, weights, strict=True)
            ]
            chosen = values[weights.index(max(weights))]
            return {**head, "choice": chosen, "confidence": certainty(weights), "probabilities": probabilities}
        case "score":
            probabilities = [
                {"value": index, "label": level.label, "probability": weight}
                for index, (level, weight) in enumerate(zip(body.levels or (), weights, strict=True))
            ]
            score = expected(weights)
            return {**head, "score": score, "confidence": precision(weights), "probabilities": probabilities}
