"""Tokenising requests and answers."""

import pytest
from pydantic import ValidationError

from localai.api.openai.tokenize import DetokenizeBody, TokenizeBody, asked, asked_back, reply, reply_back
from localai.core.errors import ContextLengthExceeded, InvalidRequest
from localai.core.event import Done, Text, Tokens
from localai.core.task import Detokenize, Tokenize

EVENTS = (Tokens(ids=(1, 2), pieces=(b"a", b"\xc3")), Done())


def parse(**fields):
    return TokenizeBody.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "task"),
    [
        ({"content": "a"}, Tokenize(text="a", special=False)),
        ({"content": "a", "add_special": True}, Tokenize(text="a")),
        ({"prompt": "a"}, Tokenize(text="a")),
        ({"prompt": "a", "add_special_tokens": False}, Tokenize(text="a", special=False)),
    ],
)
def test_two_dialects_of_tokenize(fields, task):
    """llama.cpp's `content` has no special tokens by default, vLLM's `prompt` has."""
    assert asked(parse(**fields)) == task


def test_text_is_needed():
    """Without text there is nothing to tokenise."""
    with pytest.raises(InvalidRequest) as caught:
        asked(parse())
    assert caught.value.param == "content"


def test_ids_with_pieces():
    """Pieces are texts, or bytes where they are only a part of a character."""
    assert reply(EVENTS, parse(content="a")) == {"tokens": [1, 2], "count": 2}
    with_pieces = reply(EVENTS, parse(content="a", with_pieces=True))
    assert with_pieces["tokens"] == [{"id": 1, "piece": "a"}, {"id": 2, "piece": [0xC3]}]
    assert reply(EVENTS, parse(prompt="a", return_token_strs=True))["token_strs"] == ["a", "\ufffd"]


def test_ids_become_text():
    """Token ids are written out under both names."""
    assert asked_back(DetokenizeBody.model_validate({"tokens": [1, 2]})) == Detokenize(ids=(1, 2))
    assert asked_back(DetokenizeBody.model_validate({"tokens": []})) == Detokenize(ids=())
    assert reply_back((Text(text="a"), Text(text="b"), Done())) == {"content": "ab", "prompt": "ab"}


@pytest.mark.parametrize("tokens", ["a", [-1], ["a"], [1.5], None, [2**31]])
def test_what_is_no_token_id_is_refused(tokens):
    """Only whole numbers from 0 are token ids."""
    with pytest.raises(ValidationError):
        DetokenizeBody.model_validate({"tokens": tokens})


def test_too_many_ids():
    """More ids than any context holds are refused as too long."""
    with pytest.raises(ContextLengthExceeded):
        DetokenizeBody.model_validate({"tokens": [1] * (2**20 + 1)})
