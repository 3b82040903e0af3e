"""An answer as it is written."""

import pytest

from localai.cli.answer import Answer


class Clock:
    """Advances by a second at each look."""

    def __init__(self) -> None:
        self.now = -1.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def chunk(**delta: str) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta}]}


def test_text_is_written_and_kept(capsys):
    """Text goes to standard output piece by piece, and is kept as the model said it."""
    answer = Answer()
    answer.follow([chunk(content="Hello\x1b[2J"), chunk(content=" you")])
    assert capsys.readouterr().out == "Hello\\x1b[2J you"
    assert answer.text == "Hello\x1b[2J you"


def test_raw_completions_are_text_too(capsys):
    """The chunks of the completions API are written alike."""
    Answer().follow([{"choices": [{"index": 0, "text": "Once"}]}])
    assert capsys.readouterr().out == "Once"


def test_thoughts_are_no_data(capsys):
    """Reasoning is written to standard error and is no part of the answer."""
    answer = Answer()
    answer.follow([chunk(reasoning_content="Hmm\x07"), chunk(content="Yes")])
    out, err = capsys.readouterr()
    assert (out, err) == ("Yes", "Hmm\\x07\n\n")
    assert answer.text == "Yes"


def test_figures_tell_tokens_and_speed(capsys):
    """The figures are the server's tokens, and the seconds from the question to the first and the last piece."""
    answer = Answer(Clock())
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    answer.follow([chunk(content="a"), chunk(content="b"), chunk(content="c"), {"choices": [], "usage": usage}])
    assert answer.figures().splitlines() == [
        "prompt       12 tokens, 4 of them cached",
        "answer       3 tokens",
        "first token  1.00 s",
        "speed        1.0 tokens/s",
        "total        3.00 s",
    ]


def test_no_speed_is_made_up():
    """An answer of one token, or none, has no speed."""
    assert "too short to tell" in Answer().figures()


@pytest.mark.parametrize(("last", "end"), [("done", "\n"), ("done\n", "")])
def test_the_answer_ends_its_line(capsys, last: str, end: str):
    """An answer leaves the cursor at the beginning of a line, with one line end and no more."""

    class Client:
        def events(self, path, body):
            yield chunk(content=last)

    Answer().ask(Client(), "/v1/chat/completions", {})
    assert capsys.readouterr().out == last + end


def test_an_answer_cut_by_its_limit_says_so(capsys):
    """An answer that ended at its limit of tokens is not passed off as a whole one."""

    class Client:
        def events(self, path, body):
            yield chunk(content="half")
            yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}

    Answer().ask(Client(), "/v1/chat/completions", {})
    assert "reached its limit" in capsys.readouterr().err
