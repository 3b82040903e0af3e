"""Hostile shapes and sampling values (H14 to H19): refused by the field's name, or bounded; never passed on."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localai.api.body import parse
from localai.api.openai import chat, completions, embeddings
from localai.core.errors import LocalAIError
from localai.service.media import Media

HI = [{"role": "user", "content": "hi"}]
CHAT, TEXT, VECTORS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
HUGE = 2**31 - 1


def translated(path, body):
    """What the translation alone says: status, code and field."""
    raw = json.dumps(body).encode()
    try:
        if path == CHAT:
            asyncio.run(chat.asked(parse(raw, chat.ChatBody)[0], Media()))
        elif path == TEXT:
            completions.asked(parse(raw, completions.CompletionBody)[0])
        else:
            embeddings.asked(parse(raw, embeddings.EmbeddingBody)[0])
    except LocalAIError as error:
        return error.status, error.code, error.param
    return 200, None, None


@pytest.fixture(params=["translation", "gateway"])
def say(request):
    """Ask the translation alone, then the whole server."""
    if request.param == "translation":
        return translated
    gateway = request.getfixturevalue("echo_gateway")

    def ask(path, body):
        status, answer = gateway.ask("POST", path, body)
        error = answer.get("error", {})
        return status, error.get("code"), error.get("param")

    return ask


REFUSED = [
    # H14: right fields of wrong types
    (CHAT, {"messages": {}}, "messages"),
    (CHAT, {"messages": None}, "messages"),
    (CHAT, {"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
    (CHAT, {"messages": [{"role": "system", "content": None}, *HI]}, "messages.0.content"),
    (CHAT, {"messages": [{"role": "user", "content": [None]}]}, "messages.0.content.0"),
    (CHAT, {"messages": HI, "tools": [{"type": "function", "function": None}]}, "tools.0.function"),
    (TEXT, {"prompt": []}, "prompt"),
    (TEXT, {"prompt": [[1], ["a"]]}, "prompt"),
    (TEXT, {"prompt": None}, "prompt"),
    (VECTORS, {"input": []}, "input"),
    (VECTORS, {"input": [[], [1]]}, "input"),
    # H15: counts that would multiply the work
    (CHAT, {"messages": HI, "n": HUGE}, "n"),
    (CHAT, {"messages": HI, "n": 0}, "n"),
    (CHAT, {"messages": HI, "logprobs": True, "top_logprobs": 10**9}, "top_logprobs"),
    (CHAT, {"messages": HI, "logprobs": True, "top_logprobs": -1}, "top_logprobs"),
    (CHAT, {"messages": HI, "top_k": -1}, "top_k"),
    (CHAT, {"messages": HI, "min_keep": -1}, "min_keep"),
    (CHAT, {"messages": HI, "repeat_last_n": HUGE}, "repeat_last_n"),
    (CHAT, {"messages": HI, "samplers": ["top_k"] * 1000}, "samplers"),
    (CHAT, {"messages": HI, "samplers": ["no_such_sampler"]}, "samplers.0"),
    (TEXT, {"prompt": "a", "n": HUGE}, "n"),
    (TEXT, {"prompt": "a", "best_of": HUGE}, "best_of"),
    (TEXT, {"prompt": "a", "logprobs": 10**9}, "logprobs"),
    (TEXT, {"prompt": ["a"] * 2048, "n": 16}, "prompt"),
    (VECTORS, {"input": ["a"] * 100_000}, "input"),
    (VECTORS, {"input": "a", "dimensions": 10**9}, "dimensions"),
    # Ceilings (H16) of tokens that are none
    (CHAT, {"messages": HI, "max_tokens": -1}, "max_tokens"),
    (CHAT, {"messages": HI, "max_tokens": 0}, "max_tokens"),
    (CHAT, {"messages": HI, "max_completion_tokens": 0}, "max_completion_tokens"),
    (TEXT, {"prompt": "a", "max_tokens": 0}, "max_tokens"),
    # H18: stop strings
    (CHAT, {"messages": HI, "stop": ["x"] * 10_000}, "stop"),
    (CHAT, {"messages": HI, "stop": ""}, "stop"),
    (CHAT, {"messages": HI, "stop": ["a", ""]}, "stop"),
    (CHAT, {"messages": HI, "stop": ["a", None]}, "stop"),
    (CHAT, {"messages": HI, "stop": "x" * 10_000_000}, "stop"),
    # What is added to logits: H19
    (CHAT, {"messages": HI, "logit_bias": [[number, 1] for number in range(100_000)]}, "logit_bias"),
    (CHAT, {"messages": HI, "logit_bias": {"-1": 1}}, "logit_bias"),
    (CHAT, {"messages": HI, "logit_bias": {"99999999999999999999": 1}}, "logit_bias"),
    (CHAT, {"messages": HI, "logit_bias": {"\u0661": 1}}, "logit_bias"),
    (CHAT, {"messages": HI, "logit_bias": {"a": 1}}, "logit_bias"),
    (CHAT, {"messages": HI, "logit_bias": {"1": 101}}, "logit_bias"),
    (CHAT, {"messages": HI, "logit_bias": {"1": "inf"}}, "logit_bias"),
    (CHAT, {"messages": HI, "logit_bias": {"1": True}}, "logit_bias"),
    # Numbers a sampler must never see
    (CHAT, {"messages": HI, "temperature": -0.1}, "temperature"),
    (CHAT, {"messages": HI, "temperature": 1e308}, "temperature"),
    (CHAT, {"messages": HI, "top_p": 1.5}, "top_p"),
    (CHAT, {"messages": HI, "repeat_penalty": 0}, "repeat_penalty"),
    (CHAT, {"messages": HI, "seed": "x"}, "seed"),
    (CHAT, {"messages": HI, "temperature": True}, "temperature"),
    (CHAT, {"messages": HI, "grammar": "x" * 10_000_000}, "grammar"),
    (CHAT, {"messages": HI, "lora": [{"name": "a", "scale": 1e9}]}, "lora.0.scale"),
    (CHAT, {"messages": HI, "keep_alive": "9" * 1000}, "keep_alive"),
]


@pytest.mark.parametrize(("path", "body", "param"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_out_of_range_is_refused_by_its_name(say, path, body, param):
    """A value that is out of range or of a wrong type is a 400 `invalid_value` that names its field."""
    assert say(path, body) == (400, "invalid_value", param)


@pytest.mark.parametrize("messages", [HI * 100_000, [{"role": "user", "content": "word " * 2_000_000}]])
def test_prompts_that_fit_no_context(echo_gateway, messages):
    """A hundred thousand messages, and one message of ten megabytes, are `context_length_exceeded`."""
    status, answer = echo_gateway.ask("POST", CHAT, {"model": "echo", "messages": messages})
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")


def test_one_token_too_many(echo_gateway):
    """A prompt that fills the context to its last token leaves no room for an answer and is refused."""
    for words, status in ((4095, 200), (4096, 400)):
        body = {"model": "echo", "messages": [{"role": "user", "content": " ".join(["w"] * words)}], "max_tokens": 1}
        assert echo_gateway.ask("POST", CHAT, body)[0] == status


def test_a_million_biases_are_refused_while_they_are_read(say):
    """An object of a million names is refused before anything is made of it."""
    status, _, _ = say(CHAT, {"messages": HI, "logit_bias": {str(number): 1 for number in range(1_000_000)}})
    assert status == 400


ACCEPTED = [
    {"max_tokens": 2**63},
    {"n_predict": -2, "id_slot": 0, "n_discard": -1},
    {"seed": -1},
    {"seed": 2**64 - 1},
    {"stop": ["\ufffd", "é" * 1000]},
    {"logit_bias": {"0": -100, "7": 100}},
    {"chat_template_kwargs": {"tokenize": False, "chat_template": "{{ 1/0 }}"}},
    {"logit_bias": {}},
    {"stop": []},
    {"metadata": {"x": [[[[[[[]]]]]]]}},
]


@pytest.mark.parametrize("fields", ACCEPTED, ids=str)
def test_what_is_bounded_or_unknown_does_no_harm(say, fields):
    """Values that can be clamped are, unknown fields are dropped, and the request is answered."""
    assert say(CHAT, {"messages": HI, **fields})[0] == 200


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.sampled_from(["user", "assistant", "tool", "text", "image_url", "function", "required"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["role", "content", "type", "text", "function", "name", "schema", "tools", "id", "tool_calls",
                         "arguments", "allowed_tools", "json_schema", "image_url", "url", "scale", "0"]),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
NAMES = sorted({*chat.ChatBody.model_fields, *completions.CompletionBody.model_fields, "input"})


@pytest.mark.parametrize(("path", "needed"), [(CHAT, {"messages": HI}), (TEXT, {"prompt": "a"}), (VECTORS, {})])
@given(fields=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
@settings(max_examples=300, deadline=None)
def test_any_json_is_understood_or_refused(path, needed, fields):
    """Whatever known fields hold, the translation makes a task or refuses with a 4xx; nothing else ever happens."""
    status, _, _ = translated(path, {**needed, **fields})
    assert status == 200 or 400 <= status < 500


def test_nothing_unknown_reaches_the_task():
    """A task holds known fields only: what a client adds is not in it anywhere."""
    extra = {"n_discard": -1, "id_slot": 0, "chat_template": "evil", "chat_template_kwargs": {"evil": "evil"}}
    raw = json.dumps({"messages": [{**HI[0], "evil": "evil"}], **extra}).encode()
    asked = asyncio.run(chat.asked(parse(raw, chat.ChatBody)[0], Media()))
    assert "evil" not in repr(asked)
