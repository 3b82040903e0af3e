"""The real OpenAI library: judgements of a real model, Azure's paths, and paths that name a model.

OPENAI_BASE_URL, OPENAI_API_KEY: where and as whom. COMPAT_MODEL: a model for chat. Prints `ok NAME` for every check.
"""

import os

import openai

MODEL = os.environ["COMPAT_MODEL"]
URL = os.environ["OPENAI_BASE_URL"]
HI = [{"role": "user", "content": "hello there"}]


def check_moderations(client):
    """Texts are judged, each for itself."""
    answer = client.moderations.create(input=["a nice day", "another"])
    assert len(answer.results) == 2
    assert answer.results[0].category_scores.self_harm_intent >= 0
    assert isinstance(answer.results[0].flagged, bool)


def check_decisions(client):
    """Questions of every kind are answered in order."""
    answer = client.decisions.create(
        model=MODEL,
        input="I was charged twice.",
        questions=[
            {"type": "predicate", "instructions": "It is about money."},
            {"type": "choice", "instructions": "Which?", "choices": [{"value": "a"}, {"value": True}]},
            {"type": "score", "instructions": "How?", "levels": [{"label": "low"}, {"label": "high"}]},
        ],
    )
    predicate, choice, score = answer.answers
    assert 0 <= predicate.probability <= 1
    assert choice.choice in {"a", True}
    assert 0 <= score.score <= 1
    assert answer.usage.input_tokens > 0


def check_azure(_):
    """Azure's client finds its deployments in the paths, and its key in its own header."""
    client = openai.AzureOpenAI(
        azure_endpoint=URL.removesuffix("/v1"), api_version="2025-01-01", api_key=os.environ["OPENAI_API_KEY"]
    )
    answer = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=5)
    assert answer.model == MODEL


def check_named(_):
    """A base URL may name the model; whatever name the body has does not count."""
    client = openai.OpenAI(base_url=f"{URL}/models/{MODEL}")
    assert client.chat.completions.create(model="gpt-4o", messages=HI, max_tokens=5).model == MODEL


for name, check in list(globals().items()):
    if name.startswith("check_"):
        check(openai.OpenAI())
        print("ok", name.removeprefix("check_"), flush=True)
