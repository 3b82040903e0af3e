"""llama.cpp's own completions."""

import json

import pytest
from pydantic import ValidationError

from localai.api.answer import Answer
from localai.api.llamacpp.completion import CompletionBody, InfillBody, Pieces, completion, infill, reply
from localai.core.errors import InvalidRequest
from localai.core.event import Chosen, Done, Logprobs, Text, Timings, TokenLogprob, Usage
from localai.core.task import Ids, Infill, Raw

TOKEN = TokenLogprob(id=4, token="a", logprob=-0.5, data=b"a")
DONE = Done(finish="length", usage=Usage(prompt=8, completion=1, cached=3), timings=Timings(prompt=0.5, generate=0.1))


def ask(**fields):
    return completion(CompletionBody.model_validate({"prompt": "p", **fields}))


def fill(**fields):
    return infill(InfillBody.model_validate(fields))


def heard(*events):
    answer = Answer()
    for event in events:
        answer.hear(event)
    return answer


def frames(data):
    return [json.loads(frame.removeprefix("data: ")) for frame in data.decode().split("\n\n")[:-1]]


def test_prompts():
    """A prompt is a text, token ids, or several of them, each a task of its own."""
    assert [task.prompt for task in ask(prompt=["a", "b"]).tasks] == [Raw(text="a"), Raw(text="b")]
    assert ask(prompt=[1, 2]).tasks[0].prompt == Ids(ids=(1, 2))


@pytest.mark.parametrize(
    ("fields", "limit"),
    [({}, None), ({"n_predict": 5}, 5), ({"n_predict": -1}, None), ({"n_predict": 0}, 0), ({"max_tokens": 4}, 4)],
)
def test_the_ceiling(fields, limit):
    """`n_predict` is the ceiling: negative for none, 0 to only read the prompt."""
    assert ask(**fields).tasks[0].max_tokens == limit


def test_a_gap_with_other_files():
    """A gap has what is before and behind it, what the answer starts with, and other files."""
    wanted = fill(input_prefix="a", input_suffix="b", prompt="c", input_extra=[{"filename": "f.py", "text": "x"}])
    assert wanted.tasks[0].prompt == Infill(prefix="a", suffix="b", prompt="c", extra=(("f.py", "x"),))


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"prompt": ["a"] * 65}, "prompt"), ({"prompt": ["a", "b"], "stream": True}, "prompt")],
)
def test_too_many_prompts(fields, param):
    """Too many prompts, and several in a stream, are refused."""
    with pytest.raises(InvalidRequest) as caught:
        ask(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize("fields", [{"n_predict": "5"}, {"n_probs": -1}, {"response_fields": "content"}])
def test_wrong_types(fields):
    """Known fields of a wrong type are refused."""
    with pytest.raises(ValidationError):
        CompletionBody.model_validate({"prompt": "p", **fields})


def test_a_whole_answer():
    """The answer has the text, how it ended, and how many tokens were read, reused and written."""
    found = reply([heard(Text(text="a"), DONE)], "m", ask())
    assert (found["content"], found["stop"], found["stop_type"], found["model"]) == ("a", True, "limit", "m")
    assert (found["tokens_evaluated"], found["tokens_cached"], found["tokens_predicted"]) == (8, 3, 1)
    assert found["timings"]["prompt_n"] == 5
    assert "completion_probabilities" not in found


@pytest.mark.parametrize(
    ("done", "kind", "word"), [(Done(), "eos", ""), (Done(stop="X"), "word", "X"), (Done(finish="length"), "limit", "")]
)
def test_how_it_ended(done, kind, word):
    """An answer ends by itself, at a stop string, which is named, or at the ceiling."""
    found = reply([heard(done)], "m", ask())
    assert (found["stop_type"], found["stopping_word"]) == (kind, word)


def test_several_prompts_make_a_list():
    """Several prompts are answered with a list."""
    found = reply([heard(Text(text="a"), DONE), heard(Text(text="b"), DONE)], "m", ask(prompt=["a", "b"]))
    assert [(each["index"], each["content"]) for each in found] == [(0, "a"), (1, "b")]


def test_probabilities():
    """With `n_probs` each token comes with its probability and those of its rivals."""
    wanted = ask(n_probs=1)
    assert wanted.tasks[0].logprobs == 1
    found = reply([heard(Text(text="a"), Logprobs(tokens=(Chosen(token=TOKEN, top=(TOKEN,)),)), DONE)], "m", wanted)
    token = {"id": 4, "token": "a", "logprob": -0.5, "bytes": [97]}
    assert found["completion_probabilities"] == [{**token, "top_logprobs": [token]}]


def test_only_the_fields_asked_for():
    """`response_fields` picks fields, also inner ones under their whole path; what is not there is left out."""
    wanted = ask(response_fields=["content", "timings/prompt_n", "nothing", "content/x"])
    assert reply([heard(Text(text="a"), DONE)], "m", wanted) == {"content": "a", "timings/prompt_n": 5}


def test_a_stream():
    """A stream has a frame for each piece and a last one that says stop, and no [DONE]."""
    pieces = Pieces("m", ask(stream=True))
    found = frames(pieces.feed(0, (Text(text="a"), Text(text="b"))))
    assert not pieces.done
    found += frames(pieces.feed(0, (DONE,)))
    assert [(each["content"], each["stop"]) for each in found] == [("a", False), ("b", False), ("", True)]
    assert found[-1]["tokens_evaluated"] == 8
    assert pieces.done


def test_a_stream_with_probabilities():
    """In a stream the probabilities come with their piece, whether in one batch or the next."""
    pieces = Pieces("m", ask(stream=True, n_probs=1))
    found = frames(pieces.feed(0, (Text(text="a"),)))
    found += frames(pieces.feed(0, (Logprobs(tokens=(Chosen(token=TOKEN),)), Text(text="b"), DONE)))
    assert [(each["content"], "completion_probabilities" in each) for each in found] == [
        ("a", True),
        ("b", False),
        ("", False),
    ]
