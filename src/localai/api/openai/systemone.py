"""POST /v1/systemone: the same kind of questions in the System One shape that llama.cpp, vLLM and Ollama speak."""

from collections.abc import Mapping, Sequence
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
from localai.core.errors import InvalidRequest, TaskNotSupported
from localai.core.task import ImagePart, Part, TextPart
from localai.service.media import Media

Json = str | dict[str, Any] | list[Any]
IMAGES = 16
"""Images of one request."""


class AskBody(Body):
    """A question: `criteria` are the options, the levels from the lowest, or what true and false mean."""

    type: Literal["noul", "choice", "score"]
    instructions: Json
    criteria: dict[str, Any] | list[Any] | None = None


class SystemOneBody(Body):
    """A request for judgements. Fields this server does not know are ignored."""

    model: str | None = Field(default=None, max_length=512)
    state: Json | None = None
    questions: dict[str, AskBody] = Field(min_length=1, max_length=QUESTIONS)
    files: Annotated[list[str], Field(max_length=IMAGES)] | None = None
    images: Annotated[list[str], Field(max_length=IMAGES)] | None = None


async def asked(body: SystemOneBody, media: Media) -> Asked:
    """Translate a request.

    Raises:
        InvalidRequest: With the field at fault in `param`.
    """
    state: list[Part] = [
        ImagePart(data=await media.image(url, param=f"{field}.{index}"))
        for field in ("files", "images")
        for index, url in enumerate(getattr(body, field) or ())
    ]
    if body.state is not None:
        state.append(TextPart(text=_written(body.state)))
    if not state:
        raise InvalidRequest("There must be something to judge in `state`.", param="state")
    questions = tuple(_question(question, f"questions.{name}") for name, question in body.questions.items())
    return Asked(tuple(task(state, question) for question in questions), questions)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _question(body: AskBody, place: str) -> Question:
    parts = (TextPart(text=_written(body.instructions)),)
    match body.type, body.criteria:
        case "noul", None:
            return Question(parts, YES_NO)
        case "noul", dict() as meanings:
            return Question(parts, (Option("yes", _about(meanings, "true")), Option("no", _about(meanings, "false"))))
        case "choice", dict() as options if 2 <= len(options) <= MOST:
            return Question(parts, tuple(Option(name, _about(options, name)) for name in options))
        case "choice", _:
            raise InvalidRequest(
                f"A choice needs `criteria`: an object of 2 to {MOST} options.", param=f"{place}.criteria"
            )
        case "score", list() as levels if 2 <= len(levels) <= 10:
            return Question(parts, tuple(Option(_written(level)) for level in levels))
        case "score", _:
            raise InvalidRequest("A score needs `criteria`: a list of 2 to 10 levels.", param=f"{place}.criteria")
        case _:
            raise InvalidRequest("`criteria` must be an object with `true` and `false`.", param=f"{place}.criteria")


def _about(criteria: Mapping[str, Any], name: str) -> str:
    said = criteria.get(name)
    return "" if said is None else _written(said)


def reply(answers: Sequence[Answer], model: str, body: SystemOneBody, wanted: Asked) -> dict[str, Any]:
    """The answer object.

    Raises:
        TaskNotSupported: The model would answer a question with none of its options.
    """
    usage = used(answers)
    given: dict[str, Any] = {}
    for (name, question), asked, answer in zip(body.questions.items(), wanted.questions, answers, strict=True):
        weights = weigh(answer, len(asked.options))
        if weights is None:
            raise TaskNotSupported(
                f"The model `{model}` answers a question with none of its options; use another one.",
                param=f"questions.{name[:100]}",
            )
        given[name] = _answer(question, asked, weights)
    return {
        "model": model,
        "answers": given,
        "usage": {"input_tokens": usage.prompt, "output_tokens": usage.completion},
    }


def _answer(body: AskBody, asked: Question, weights: tuple[float, ...]) -> dict[str, Any]:
    labels = [option.label for option in asked.options]
    match body.type:
        case "noul":
            return {"type": "noul", "noul": weights[0]}
        case "choice":
            return {
                "type": "choice",
                "choice": labels[weights.index(max(weights))],
                "probabilities": dict(zip(labels, weights, strict=True)),
                "confidence": certainty(weights),
            }
        case "score":
            return {
                "type": "score",
                "score": expected(weights),
                "legend": {str(index): label for index, label in enumerate(labels)},
                "probabilities": {str(index): weight for index, weight in enumerate(weights)},
                "confidence": precision(weights),
            }
