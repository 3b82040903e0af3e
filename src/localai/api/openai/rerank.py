"""POST /v1/rerank: a query and documents to relevance scores, in the shape that Jina, Cohere and vLLM clients read."""

import secrets
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from localai.api.openai.fields import Body, Whole, items
from localai.core.errors import InternalError, InvalidRequest, TaskNotSupported
from localai.core.event import Done, Event, Score
from localai.core.task import Rerank

DOCUMENTS = 2048
"""Documents of one request."""


class PieceBody(Body):
    """A piece of a document."""

    type: str = "text"
    text: str | None = None


def _text(given: object) -> object:
    return {"text": given} if isinstance(given, str) else given


class DocumentBody(Body):
    """A document: its text, or its pieces."""

    text: str | None = None
    content: Annotated[list[PieceBody], Field(max_length=256)] | None = None


def _documents(given: object) -> object:
    if len(items(given) or ()) > DOCUMENTS:
        raise PydanticCustomError("documents", "may hold at most 2048 documents")
    return given


Document = Annotated[DocumentBody, BeforeValidator(_text, json_schema_input_type=str | DocumentBody)]


class RerankBody(Body):
    """A request for scores. Fields this server does not know are ignored."""

    model: str | None = Field(default=None, max_length=512)
    query: Document
    documents: Annotated[list[Document], Field(min_length=1), BeforeValidator(_documents)]
    top_n: Annotated[Whole, Field(ge=1)] | None = None
    return_documents: bool | None = None


def asked(body: RerankBody) -> Rerank:
    """Translate a request.

    Raises:
        InvalidRequest: An empty query, or a document without text.
        TaskNotSupported: A document with something else than text.
    """
    query = _written(body.query, "query")
    if not query:
        raise InvalidRequest("The query must not be empty.", param="query")
    documents = tuple(_written(document, f"documents.{index}") for index, document in enumerate(body.documents))
    return Rerank(query=query, documents=documents)


def _written(document: DocumentBody, param: str) -> str:
    if document.text is not None:
        return document.text
    if document.content is None:
        raise InvalidRequest("This needs `text` or `content`.", param=param)
    for piece in document.content:
        if piece.text is None:
            raise TaskNotSupported("Only text can be ranked.", param=f"{param}.content")
    return "\n".join(piece.text or "" for piece in document.content)


def reply(events: Sequence[Event], model: str, body: RerankBody, task: Rerank) -> dict[str, Any]:
    """The answer object: the most relevant first, all of them unless `top_n` is smaller.

    Raises:
        InternalError: The engine stopped without ending its answer.
    """
    done = next((event for event in events if isinstance(event, Done)), None)
    if done is None:
        raise InternalError("The engine stopped without ending its answer.")
    scores = sorted(
        (event for event in events if isinstance(event, Score)), key=lambda score: (-score.score, score.index)
    )
    return {
        "id": f"rerank-{secrets.token_hex(14)}",
        "object": "list",
        "model": model,
        "results": [_result(score, task, documents=bool(body.return_documents)) for score in scores[: body.top_n]],
        "usage": {"prompt_tokens": done.usage.prompt, "total_tokens": done.usage.prompt},
        "meta": {"billed_units": {"search_units": 1}},
    }


def _result(score: Score, task: Rerank, *, documents: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"index": score.index, "relevance_score": score.score}
    return {**result, "document": {"text": task.documents[score.index]}} if documents else result
