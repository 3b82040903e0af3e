"""Reranking: a query and documents to relevance scores, in the shapes that Jina, Cohere, Voyage and TEI clients read.

One answer satisfies Jina (and vLLM, Dify, Open WebUI), Cohere in both versions and Voyage, whose results are called
`data`. A request with `texts` is one of TEI's, whose answer is a bare list.
"""

import math
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
    documents: Annotated[list[Document], Field(min_length=1), BeforeValidator(_documents)] | None = None
    texts: Annotated[list[str], Field(min_length=1), BeforeValidator(_documents)] | None = None
    """TEI's name for documents; asks for TEI's answer."""
    top_n: Annotated[Whole, Field(ge=1)] | None = None
    top_k: Annotated[Whole, Field(ge=1)] | None = None
    """Voyage's name for `top_n`."""
    return_documents: bool | None = None
    return_text: bool | None = None
    raw_scores: bool | None = None
    truncate: Any = None
    truncation: Any = None
    truncation_direction: Any = None
    max_chunks_per_doc: Any = None
    max_tokens_per_doc: Any = None
    rank_fields: Any = None

    @property
    def place(self) -> str:
        """The field that holds the documents."""
        return "documents" if self.texts is None else "texts"


def asked(body: RerankBody) -> Rerank:
    """Translate a request.

    Raises:
        InvalidRequest: An empty query, no documents (or under both names), or a document without text.
        TaskNotSupported: A document with something else than text.
    """
    query = _written(body.query, "query")
    if not query:
        raise InvalidRequest("The query must not be empty.", param="query")
    if body.documents is None and body.texts is None:
        raise InvalidRequest("There must be documents in `documents`.", param="documents")
    if body.documents is not None and body.texts is not None:
        raise InvalidRequest("Documents must be in `documents` or in `texts`, not in both.", param="texts")
    documents = [_written(document, f"documents.{index}") for index, document in enumerate(body.documents or ())]
    return Rerank(query=query, documents=tuple(documents) or tuple(body.texts or ()))


def _written(document: DocumentBody, param: str) -> str:
    if document.text is not None:
        return document.text
    if document.content is None:
        raise InvalidRequest("This needs `text` or `content`.", param=param)
    for piece in document.content:
        if piece.text is None:
            raise TaskNotSupported("Only text can be ranked.", param=f"{param}.content")
    return "\n".join(piece.text or "" for piece in document.content)


def reply(events: Sequence[Event], model: str, body: RerankBody, task: Rerank) -> dict[str, Any] | list[dict[str, Any]]:
    """The answer: the most relevant first, all of them unless `top_n` (or `top_k`) is smaller.

    Raises:
        InternalError: The engine stopped without ending its answer.
    """
    done = next((event for event in events if isinstance(event, Done)), None)
    if done is None:
        raise InternalError("The engine stopped without ending its answer.")
    scores = sorted(
        (event for event in events if isinstance(event, Score)), key=lambda score: (-score.score, score.index)
    )
    if body.texts is not None:
        return [_ranked(score, task, body) for score in scores[: body.top_n]]
    kept = scores[: body.top_n or body.top_k]
    documents = bool(body.return_documents)
    return {
        "id": f"rerank-{secrets.token_hex(14)}",
        "object": "list",
        "model": model,
        "results": [_result(score, task, documents=documents) for score in kept],
        "data": [_datum(score, task, documents=documents and body.top_k is not None) for score in kept],
        "usage": {"prompt_tokens": done.usage.prompt, "total_tokens": done.usage.prompt},
        "meta": {"billed_units": {"search_units": 1}},
    }


def _result(score: Score, task: Rerank, *, documents: bool) -> dict[str, Any]:
    """Jina's and Cohere's form."""
    result: dict[str, Any] = {"index": score.index, "relevance_score": score.score}
    return {**result, "document": {"text": task.documents[score.index]}} if documents else result


def _datum(score: Score, task: Rerank, *, documents: bool) -> dict[str, Any]:
    """Voyage's form; a document goes out in both forms only to those who speak Voyage for certain."""
    datum: dict[str, Any] = {"index": score.index, "relevance_score": score.score}
    return {**datum, "document": task.documents[score.index]} if documents else datum


def _ranked(score: Score, task: Rerank, body: RerankBody) -> dict[str, Any]:
    """TEI's form; its scores are between 0 and 1 unless raw ones are asked for."""
    value = score.score if body.raw_scores else _squashed(score.score)
    rank: dict[str, Any] = {"index": score.index, "score": value}
    return {**rank, "text": task.documents[score.index]} if body.return_text else rank


def _squashed(score: float) -> float:
    """The logistic function, without overflow."""
    return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))
