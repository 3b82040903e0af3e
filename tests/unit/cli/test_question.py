"""What is asked of a model."""

import json
import sys

import pytest

from localai.cli import question
from localai.cli.errors import Failure, Misused
from localai.cli.question import Options, chat_body, piped, raw_body, response_format


def test_only_what_was_given_is_sent():
    """Without options the body holds the model, the messages and that it streams: the model's defaults count."""
    assert chat_body("m", [{"role": "user", "content": "Hi"}], Options()) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_every_option_reaches_the_request():
    """Each option has its field of the chat API; zero and false are values too."""
    options = Options(
        system="Be brief.",
        temperature=0,
        max_tokens=5,
        seed=0,
        format={"type": "json_object"},
        think=False,
        keep_alive=-1,
    )
    body = chat_body("m", [], options)
    assert body["messages"] == [{"role": "system", "content": "Be brief."}]
    assert (body["temperature"], body["max_tokens"], body["seed"], body["keep_alive"]) == (0, 5, 0, -1)
    assert body["response_format"] == {"type": "json_object"}
    assert body["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_raw_prompt_has_a_limit_of_its_own():
    """A raw prompt goes as it is, with a limit unless one was given."""
    assert raw_body("m", "Once", Options())["prompt"] == "Once"
    assert raw_body("m", "Once", Options())["max_tokens"] == question.RAW_TOKENS
    assert raw_body("m", "Once", Options(max_tokens=5))["max_tokens"] == 5


def test_format_json():
    """--format json asks for one JSON object, no --format for nothing."""
    assert response_format("json") == {"type": "json_object"}
    assert response_format(None) is None


def test_format_of_a_schema_file(tmp_path):
    """--format FILE asks for JSON that is valid against the schema in it."""
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"type": "object"}))
    found = response_format(str(path))
    assert found is not None
    assert found["json_schema"] == {"name": "answer", "schema": {"type": "object"}, "strict": True}


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_what_is_no_schema_is_a_usage_error(tmp_path, text: str):
    """A file that holds no JSON object is refused before anything is sent."""
    path = tmp_path / "schema.json"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(Misused):
        response_format(str(path))


def test_a_missing_schema_file_is_a_usage_error(tmp_path):
    """A schema file that is not there is refused with its name."""
    with pytest.raises(Misused, match="cannot be read"):
        response_format(str(tmp_path / "nothing.json"))


class Piped:
    def __init__(self, data: bytes, *, terminal: bool = False) -> None:
        self.buffer = self
        self._data = data
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def read(self, limit: int) -> bytes:
        assert not self._terminal, "a terminal was read"
        return self._data[:limit]


def test_piped_text_is_read(monkeypatch):
    """What was piped in is read as text, without blank lines around it."""
    monkeypatch.setattr(sys, "stdin", Piped("\nGrüße\n\n".encode()))
    assert piped() == "Grüße"


@pytest.mark.parametrize("stdin", [None, Piped(b"", terminal=True)])
def test_a_terminal_is_not_read(monkeypatch, stdin):
    """Where a person sits, or nothing is connected, nothing is waited for."""
    monkeypatch.setattr(sys, "stdin", stdin)
    assert piped() == ""


def test_too_much_is_refused(monkeypatch):
    """More than the limit is a failure, not a silent cut."""
    monkeypatch.setattr(question, "INPUT_LIMIT", 4)
    monkeypatch.setattr(sys, "stdin", Piped(b"12345"))
    with pytest.raises(Failure, match="Standard input holds more"):
        piped()


def test_bytes_are_no_text(monkeypatch):
    """What is not UTF-8 is refused."""
    monkeypatch.setattr(sys, "stdin", Piped(b"\xff"))
    with pytest.raises(Failure, match="not UTF-8"):
        piped()
