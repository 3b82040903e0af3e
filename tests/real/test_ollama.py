"""Ollama's API with the real models."""

import json
import re

import pytest

from gateway import Gateway
from sse import Stream, ask

pytestmark = [pytest.mark.real, pytest.mark.slow]

MODEL = "smollm2-135m"
STILL = {"temperature": 0, "num_predict": 40}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}, "days": {"type": "integer", "maximum": 9}},
            "required": ["city", "days"],
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {
        "colour": {"type": "string", "enum": ["red", "green"]},
        "size": {"type": "integer", "minimum": 1, "maximum": 9, "nullable": True},
    },
    "required": ["colour", "size"],
    "additionalProperties": False,
}


def streamed(running: Gateway, path: str, body: dict) -> list[dict]:
    """The lines of a streamed answer."""
    lines = Stream(running.port, running.key, path, {"model": MODEL, **body}).lines()
    return [json.loads(line) for line in lines if line]


def answered(running: Gateway, path: str, body: dict) -> dict:
    """The whole answer."""
    status, answer = running.ask("POST", path, {"model": MODEL, **body, "stream": False})
    assert status == 200, answer
    return answer


@pytest.mark.parametrize("question", ["Name three colours.", "What is the capital of France?", "Count to five."])
def test_the_same_text_as_in_the_other_dialect(real_gateway: Gateway, question: str):
    """At temperature 0 both dialects give the same text, streamed and whole, and so does a generation."""
    wanted = real_gateway.ask("POST", "/v1/chat/completions", ask(question, MODEL, temperature=0, max_tokens=40))[1]
    text = wanted["choices"][0]["message"]["content"]
    chat = {"messages": [{"role": "user", "content": question}], "options": STILL}
    generate = {"prompt": question, "options": STILL}
    assert answered(real_gateway, "/api/chat", chat)["message"]["content"] == text
    assert "".join(line["message"]["content"] for line in streamed(real_gateway, "/api/chat", chat)) == text
    assert answered(real_gateway, "/api/generate", generate)["response"] == text
    assert "".join(line["response"] for line in streamed(real_gateway, "/api/generate", generate)) == text


@pytest.mark.parametrize("seed", range(3))
def test_forced_tools(real_gateway: Gateway, seed: int):
    """A required call is made by the smallest model, with arguments that hold to the schema, streamed and whole."""
    body = {
        "messages": [{"role": "user", "content": "How will the weather be in Rome?"}],
        "tools": [TOOL],
        "tool_choice": "required",
        "options": {"seed": seed, "num_predict": 300},
    }
    whole = answered(real_gateway, "/api/chat", body)["message"]["tool_calls"]
    lines = [line["message"].get("tool_calls", ()) for line in streamed(real_gateway, "/api/chat", body)]
    for calls in (whole, [call for line in lines for call in line]):
        assert calls
        for call in calls:
            arguments = call["function"]["arguments"]
            assert call["function"]["name"] == "weather"
            assert len(arguments["city"]) <= 20
            assert arguments["days"] <= 9


@pytest.mark.parametrize("seed", range(3))
def test_schemas(real_gateway: Gateway, seed: int):
    """A schema holds in both routes, streamed and whole, OpenAPI's words included."""
    options = {"seed": seed, "num_predict": 200}
    chat = {"messages": [{"role": "user", "content": "Describe an apple."}], "format": SCHEMA, "options": options}
    generate = {"prompt": "Describe an apple.", "format": SCHEMA, "options": options}
    texts = [
        answered(real_gateway, "/api/chat", chat)["message"]["content"],
        "".join(line["message"]["content"] for line in streamed(real_gateway, "/api/chat", chat)),
        answered(real_gateway, "/api/generate", generate)["response"],
        "".join(line["response"] for line in streamed(real_gateway, "/api/generate", generate)),
    ]
    for text in texts:
        found = json.loads(text)
        assert set(found) == {"colour", "size"}
        assert found["colour"] in {"red", "green"}
        assert found["size"] is None or 1 <= found["size"] <= 9


def test_a_conversation_from_its_ids(real_gateway: Gateway):
    """The ids of an answer are those of the prompt and the answer, and what comes after them is computed alone."""
    options = {"temperature": 0, "num_predict": 20}
    first = answered(real_gateway, "/api/generate", {"prompt": "My name is Ada. Greet me.", "options": options})
    assert len(first["context"]) == pytest.approx(first["prompt_eval_count"] + first["eval_count"], abs=3)
    text = real_gateway.ask("POST", "/v1/detokenize", {"model": MODEL, "tokens": first["context"]})[1]
    assert "My name is Ada. Greet me." in json.dumps(text)
    assert first["response"].strip() in json.loads(json.dumps(text))["content"]
    second = answered(
        real_gateway, "/api/generate", {"prompt": "What is my name?", "context": first["context"], "options": options}
    )
    assert second["context"][: len(first["context"])] == first["context"]
    assert second["prompt_eval_count"] > first["prompt_eval_count"] + first["eval_count"]


def test_long_texts_are_cut_only_when_asked(real_gateway: Gateway):
    """A text that is too long for the model is refused, and cut when the request says so; the answer tells which."""
    texts = ["a cat", "word " * 3000]
    status, answer = real_gateway.ask("POST", "/api/embed", {"model": "minilm", "input": texts})
    assert status == 400
    assert "truncate" in answer["error"]
    status, answer = real_gateway.ask("POST", "/api/embed", {"model": "minilm", "input": texts, "truncate": True})
    assert (status, answer["truncated"]) == (200, [1])
    assert answer["prompt_eval_count"] == pytest.approx(512, abs=16)
    alone = real_gateway.ask("POST", "/api/embed", {"model": "minilm", "input": "a cat", "truncate": True})[1]
    assert "truncated" not in alone
    assert alone["embeddings"][0] == pytest.approx(answer["embeddings"][0], abs=1e-2)


def test_a_larger_context(real_gateway: Gateway):
    """A prompt that does not fit is refused; with a larger `num_ctx` the model is loaded anew and answers it."""
    prompt = {"messages": [{"role": "user", "content": "word " * 2200}]}
    short = {"temperature": 0, "num_predict": 2}
    status, answer = real_gateway.ask("POST", "/api/chat", {"model": MODEL, **prompt, "options": short})
    assert (status, "2048" in answer["error"]) == (400, True)
    answer = answered(real_gateway, "/api/chat", {**prompt, "options": {**short, "num_ctx": 4000}})
    assert answer["prompt_eval_count"] > 2200
    (row,) = [row for row in real_gateway.ask("GET", "/api/ps")[1]["models"] if row["name"] == MODEL]
    assert row["context_length"] == 4096
    assert real_gateway.ask("POST", "/api/generate", {"model": MODEL, "keep_alive": 0})[0] == 200
    answered(real_gateway, "/api/chat", {"messages": [{"role": "user", "content": "Hi"}], "options": short})
    (row,) = [row for row in real_gateway.ask("GET", "/api/ps")[1]["models"] if row["name"] == MODEL]
    assert row["context_length"] == 2048


def cached(running: Gateway) -> float:
    """Tokens of prompts that came from the cache so far, as the metrics tell."""
    text = running.ask("GET", "/metrics")[1]
    found = re.search(
        rf'^localai_tokens_total\{{[^}}]*kind="cached"[^}}]*model="{MODEL}"[^}}]*\}} (\S+)', text, re.MULTILINE
    )
    return float(found[1]) if found else 0.0


def test_a_conversation_stays_in_the_cache(real_gateway: Gateway):
    """In a conversation of ten turns, more than 95 % of each turn's tokens come from the cache in the next one."""
    messages: list[dict] = []
    before = 0
    for turn in range(10):
        messages.append({"role": "user", "content": f"Tell me one more thing about number {turn}."})
        counted = cached(real_gateway)
        body = {"messages": messages, "options": {"temperature": 0, "num_predict": 24}}
        answer = answered(real_gateway, "/api/chat", body)
        if before:
            assert cached(real_gateway) - counted > 0.95 * before
        before = answer["prompt_eval_count"] + answer["eval_count"]
        messages.append(answer["message"])
