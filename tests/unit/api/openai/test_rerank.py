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


def test_voyage_reads_data():
    """Voyage's clients find the same results as `data`, with the text itself as document, cut to `top_k`."""
    body = parse(top_k=1, return_documents=True)
    answer = reply(EVENTS, "m", body, asked(body))
    assert answer["data"] == [{"index": 1, "relevance_score": 0.9, "document": "b"}]
    assert answer["results"] == [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}]


def test_documents_go_out_once():
    """Documents are not repeated for Voyage to those who asked in another shape."""
    body = parse(return_documents=True)
    assert all("document" not in each for each in reply(EVENTS, "m", body, asked(body))["data"])


def test_tei_gets_a_list():
    """A request with `texts` is answered with a bare list of scores from 0 to 1."""
    body = RerankBody.model_validate({"query": "q", "texts": ["a", "b", "c"], "return_text": True})
    answer = reply(EVENTS, "m", body, asked(body))
    assert [(each["index"], each["text"]) for each in answer] == [(1, "b"), (0, "a"), (2, "c")]
    assert answer[0]["score"] == pytest.approx(0.7109, abs=1e-4)
    body = RerankBody.model_validate({"query": "q", "texts": ["a", "b", "c"], "raw_scores": True})
    assert reply(EVENTS, "m", body, asked(body))[0] == {"index": 1, "score": 0.9}


def test_scores_of_any_size_are_squashed():
    """Scores far from 0 do not overflow."""
    body = RerankBody.model_validate({"query": "q", "texts": ["a", "b"]})
    events = (Score(index=0, score=1e4), Score(index=1, score=-1e4), Done())
    assert [each["score"] for each in reply(events, "m", body, asked(body))] == [1, 0]


@pytest.mark.parametrize(("fields", "param"), [({}, "documents"), ({"documents": ["a"], "texts": ["a"]}, "texts")])
def test_documents_stand_in_one_place(fields, param):
    """Documents under neither name or under both are refused."""
    with pytest.raises(InvalidRequest) as caught:
        asked(RerankBody.model_validate({"query": "q", **fields}))
    assert caught.value.param == param


@pytest.mark.parametrize(("field", "value"), [("top_k", 0), ("texts", []), ("texts", ["a"] * 2049), ("texts", [{}])])
def test_bounds_of_the_other_shapes(field, value):
    """The other shapes have the same bounds."""
    with pytest.raises(ValidationError) as caught:
        parse(**{field: value})
    assert caught.value.errors()[0]["loc"][0] == field
