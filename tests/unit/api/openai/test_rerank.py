"""Reranking requests and answers."""

import pytest
from pydantic import ValidationError

from localai.api.openai.rerank import RerankBody, asked, reply
from localai.core.errors import InternalError, InvalidRequest, TaskNotSupported
from localai.core.event import Done, Score, Usage

EVENTS = (
    Score(index=0, score=0.1),
    Score(index=1, score=0.9),
    Score(index=2, score=0.1),
    Done(usage=Usage(prompt=9)),
)


def parse(**fields):
    return RerankBody.model_validate({"query": "q", "documents": ["a", "b", "c"], **fields})


def test_documents_in_three_forms():
    """A document is a string, an object with text, or a list of text pieces."""
    content = [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]
    task = asked(parse(documents=["a", {"text": "b"}, {"content": content}]))
    assert (task.query, task.documents) == ("q", ("a", "b", "c\nd"))


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        ({"query": ""}, InvalidRequest, "query"),
        ({"documents": ["a", {}]}, InvalidRequest, "documents.1"),
        ({"documents": [{"content": [{"type": "image_url"}]}]}, TaskNotSupported, "documents.0.content"),
    ],
)
def test_what_cannot_be_ranked_is_named(fields, error, param):
    """A document without text, or with something else, is refused by its place."""
    with pytest.raises(error) as caught:
        asked(parse(**fields))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("field", "value"), [("documents", []), ("documents", "a"), ("documents", ["a"] * 2049), ("top_n", 0)]
)
def test_bounds(field, value):
    """No documents, too many, and a `top_n` of nothing are refused."""
    with pytest.raises(ValidationError) as caught:
        parse(**{field: value})
    assert caught.value.errors()[0]["loc"][0] == field


def test_the_most_relevant_comes_first():
    """Results are sorted by score, equal ones by index, all of them by default."""
    body = parse()
    answer = reply(EVENTS, "m", body, asked(body))
    assert answer["results"] == [
        {"index": 1, "relevance_score": 0.9},
        {"index": 0, "relevance_score": 0.1},
        {"index": 2, "relevance_score": 0.1},
    ]
    assert (answer["model"], answer["usage"]) == ("m", {"prompt_tokens": 9, "total_tokens": 9})
    assert answer["meta"] == {"billed_units": {"search_units": 1}}


def test_top_n_with_documents():
    """`top_n` cuts the list and `return_documents` gives the texts back."""
    body = parse(top_n=1, return_documents=True)
    results = reply(EVENTS, "m", body, asked(body))["results"]
    assert results == [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}]


def test_an_answer_that_does_not_end_is_an_error():
    """Scores without an end are never given out."""
    body = parse()
    with pytest.raises(InternalError):
        reply(EVENTS[:3], "m", body, asked(body))
