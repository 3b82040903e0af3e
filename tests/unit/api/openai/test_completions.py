"""The completions request as tasks, and its answers."""

import json

import pytest
from pydantic import ValidationError

from localai.api.answer import Answer
from localai.api.openai.completions import CompletionBody, asked, reply
from localai.api.openai.head import Head
from localai.core.errors import InvalidRequest
from localai.core.event import Chosen, Done, Logprobs, Text, TokenLogprob, Usage
from localai.core.task import Ids, Infill, Raw

HEAD = Head(id="cmpl-1", created=5, model="m", fingerprint="fp_1")


def ask(**fields):
    return asked(CompletionBody.model_validate(fields))


def token(text, logprob=-1.0, top=()):
    return Chosen(token=TokenLogprob(id=1, token=text, logprob=logprob), top=top)


def heard(*events):
    answer = Answer()
    for event in events:
        answer.hear(event)
    return answer


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a", [Raw(text="a")]),
        ("", [Raw(text="")]),
        (["a", "b"], [Raw(text="a"), Raw(text="b")]),
        ([1, 2], [Ids(ids=(1, 2))]),
        ([[1], [2, 3]], [Ids(ids=(1,)), Ids(ids=(2, 3))]),
    ],
)
def test_prompts_in_four_forms(prompt, prompts):
    """A prompt is a text, texts, token ids, or lists of them."""
    assert [task.prompt for task in ask(prompt=prompt).tasks] == prompts


@pytest.mark.parametrize("prompt", [[], [[1], ["a"]], ["a", 1], [1, "a"], [[]], [True], [-1], {}, 5, None, [2**31]])
def test_prompts_that_are_none_of_them(prompt):
    """Anything else is refused as the field `prompt`."""
    with pytest.raises(ValidationError) as caught:
        ask(prompt=prompt)
    assert caught.value.errors()[0]["loc"] == ("prompt",)


def test_the_ceiling_is_sixteen_unless_named():
    """Without `max_tokens` sixteen tokens are generated, as OpenAI documents."""
    assert ask(prompt="a").tasks[0].max_tokens == 16
    assert ask(prompt="a", max_tokens=99).tasks[0].max_tokens == 99


def test_a_suffix_makes_a_gap_to_fill():
    """`suffix` asks for what lies between it and the prompt."""
    assert ask(prompt="a", suffix="z").tasks[0].prompt == Infill(prefix="a", suffix="z")
    with pytest.raises(InvalidRequest):
        ask(prompt=[1], suffix="z")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"prompt": ["a"] * 9, "n": 15}, "prompt"),
        ({"echo": True, "logprobs": 1}, "echo"),
    ],
)
def test_contradictions_are_refused_by_their_field(fields, param):
    """A request that cannot be met is a 400 that names the field."""
    with pytest.raises(InvalidRequest) as caught:
        ask(**{"prompt": "a", **fields})
    assert caught.value.param == param


def test_best_of_gives_the_most_likely_texts():
    """`best_of` generates more texts than are wanted and gives those with the highest mean log-probability."""
    wanted = ask(prompt="a", best_of=3, n=2)
    assert [task.logprobs for task in wanted.tasks] == [0, 0, 0]
    done = Done(usage=Usage(prompt=4, completion=1))
    answers = [heard(Text(text=str(p)), Logprobs(tokens=(token(str(p), p),)), done) for p in (-3.0, -1.0, -2.0)]
    body = reply(answers, HEAD, wanted, ["", ""])
    assert [(choice["index"], choice["text"], choice["logprobs"]) for choice in body["choices"]] == [
        (0, "-1.0", None),
        (1, "-2.0", None),
    ]
    assert (body["object"], body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (
        "text_completion",
        4,
        3,
    )


def test_log_probabilities_in_the_older_shape():
    """Tokens, their log-probabilities, alternatives and offsets lie side by side."""
    first = token("ab", -0.5, (TokenLogprob(id=1, token="ab", logprob=-0.5), TokenLogprob(id=2, token="x", logprob=-2)))
    answer = heard(Text(text="ab"), Logprobs(tokens=(first,)), Text(text="c"), Logprobs(tokens=(token("c"),)), Done())
    body = reply([answer], HEAD, ask(prompt="p", logprobs=2), [""])
    assert body["choices"][0]["logprobs"] == {
        "tokens": ["ab", "c"],
        "token_logprobs": [-0.5, -1.0],
        "top_logprobs": [{"ab": -0.5, "x": -2.0}, {}],
        "text_offset": [0, 2],
    }


def test_an_echo_starts_the_text():
    """`echo` puts the prompt, written out, in front of every one of its choices."""
    wanted = ask(prompt=["a", "b"], echo=True, n=2)
    assert wanted.echoes == ("a", "a", "b", "b")
    body = reply([heard(Text(text="x"), Done())] * 4, HEAD, wanted, wanted.echoes)
    assert [choice["text"] for choice in body["choices"]] == ["ax", "ax", "bx", "bx"]
    assert ask(prompt=["a", "b"]).echoes == ("", "")


def frames(data):
    return [json.loads(frame[6:]) for frame in data.decode().split("\n\n")[:-1] if frame != "data: [DONE]"]


def test_a_stream_of_texts():
    """A stream has the echo, the pieces, the reason with an empty text, usage, and [DONE]."""
    wanted = ask(prompt="p", echo=True, stream=True, stream_options={"include_usage": True})
    texts = wanted.chunks(HEAD, ["p"])
    data = texts.feed(0, (Text(text="x"), Text(text="y"), Done(finish="length", usage=Usage(prompt=1, completion=2))))
    assert data.endswith(b"data: [DONE]\n\n")
    found = frames(data)
    assert [chunk["choices"][0]["text"] for chunk in found[:-1]] == ["p", "x", "y", ""]
    assert [chunk["choices"][0]["finish_reason"] for chunk in found[:-1]] == [None, None, None, "length"]
    assert (found[-1]["choices"], found[-1]["usage"]["total_tokens"]) == ([], 3)
    assert all(chunk["usage"] is None for chunk in found[:-1])


def test_streamed_offsets_go_on():
    """Offsets of streamed log-probabilities count from the beginning of the text."""
    texts = ask(prompt="p", stream=True, logprobs=0).chunks(HEAD, [""])
    found = frames(texts.feed(0, (Text(text="ab"), Logprobs(tokens=(token("ab"),)), Text(text="cd"))))
    found += frames(texts.feed(0, (Logprobs(tokens=(token("c"), token("d"))), Done())))
    offsets = [chunk["choices"][0]["logprobs"]["text_offset"] for chunk in found[:-1]]
    assert offsets == [[0], [2, 3]]
