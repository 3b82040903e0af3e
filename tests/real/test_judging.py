"""A small real model as a judge, and with custom tools: the shapes hold, whatever it thinks."""

import re

import pytest

pytestmark = [pytest.mark.real, pytest.mark.slow]

QUESTIONS = [
    {"type": "predicate", "name": "money", "instructions": "It is about money."},
    {"type": "choice", "instructions": "Which team?", "choices": [{"value": "billing"}, {"value": "shipping"}]},
    {"type": "score", "instructions": "How urgent?", "levels": [{"label": "low"}, {"label": "mid"}, {"label": "high"}]},
]


def test_moderation(real_gateway):
    """Every text gets a score for each category, from a model that the answer names."""
    status, answer = real_gateway.ask("POST", "/v1/moderations", {"input": ["Nice day.", "I will hurt you."]})
    assert (status, answer["model"]) == (200, "smollm2-135m")
    assert len(answer["results"]) == 2
    for result in answer["results"]:
        assert len(result["category_scores"]) == 13
        assert all(0 <= score <= 1 for score in result["category_scores"].values())
        assert result["flagged"] == any(result["categories"].values())


def test_decisions(real_gateway):
    """Every question is answered with probabilities that sum to 1, and the input is read once for all of them."""
    body = {"model": "smollm2-135m", "input": "I was charged twice for my order. " * 20, "questions": QUESTIONS}
    status, answer = real_gateway.ask("POST", "/v1/decisions", body)
    assert status == 200, answer
    money, team, urgency = answer["answers"]
    assert 0 <= money["probability"] <= 1
    for found in (team, urgency):
        assert sum(each["probability"] for each in found["probabilities"]) == pytest.approx(1)
        assert 0 <= found["confidence"] <= 1
    assert team["choice"] in {"billing", "shipping"}
    assert 0 <= urgency["score"] <= 2
    again = real_gateway.ask("POST", "/v1/decisions", body)[1]["usage"]
    assert again["input_tokens_details"]["cached_tokens"] > 0.5 * again["input_tokens"]


def test_system_one(real_gateway):
    """The same holds in the shape of System One."""
    body = {
        "model": "smollm2-135m",
        "state": {"weather": "rain"},
        "questions": {"wet": {"type": "noul", "instructions": "Is it wet outside?"}},
    }
    status, answer = real_gateway.ask("POST", "/v1/systemone", body)
    assert status == 200, answer
    assert 0 <= answer["answers"]["wet"]["noul"] <= 1


def test_a_custom_tool_that_has_to_be_called(real_gateway):
    """A custom tool that is chosen is called with a text that matches its regular expression."""
    form = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[0-9]{1,3} [+*] [0-9]{1,3}"}}
    body = {
        "model": "smollm2-135m",
        "messages": [{"role": "user", "content": "What is 2 plus 3?"}],
        "tools": [{"type": "custom", "custom": {"name": "calculate", "format": form}}],
        "tool_choice": {"type": "custom", "custom": {"name": "calculate"}},
        "temperature": 0,
        "max_tokens": 60,
    }
    status, answer = real_gateway.ask("POST", "/v1/chat/completions", body)
    assert status == 200, answer
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert (call["type"], call["custom"]["name"]) == ("custom", "calculate")
    assert re.fullmatch(r"[0-9]{1,3} [+*] [0-9]{1,3}", call["custom"]["input"])


def test_the_tokens_of_a_conversation(real_gateway):
    """The tokens that are counted are those that the conversation has when it is answered."""
    body = {"model": "smollm2-135m", "messages": [{"role": "user", "content": "How are you today?"}], "max_tokens": 1}
    status, counted = real_gateway.ask("POST", "/v1/chat/completions/input_tokens", body)
    assert status == 200, counted
    _, answer = real_gateway.ask("POST", "/v1/chat/completions", body)
    assert counted["input_tokens"] == answer["usage"]["prompt_tokens"]
