"""One model behind four dialects: the same words, and structure that holds in each."""

import json
import os
from itertools import product

import pytest
from jsonschema import Draft202012Validator

from dialects import ALL, Dialect, ask
from gateway import Gateway
from structures import SUBJECTS, schema, tools

pytestmark = [pytest.mark.real, pytest.mark.slow]

MODEL = "smollm2-135m"
ROUNDS = int(os.environ.get("LOCALAI_TEST_ROUNDS", "6"))
"""Schemas and calls for each dialect and way of asking; 100 are what the product promises, and take some minutes."""
WAYS = [
    pytest.param(dialect, stream, id=f"{dialect.name}-{'streamed' if stream else 'whole'}")
    for dialect, stream in product(ALL, (False, True))
]


def hardness(turn: int) -> int:
    """Which of the hundred structures this turn tries: evenly from the easiest to the hardest."""
    return turn * 100 // ROUNDS


def test_the_same_words_in_every_dialect(real_gateway: Gateway):
    """The same prompt at temperature 0 gives the same text in all dialects, streamed and not, and counts the same."""
    for question in ("Name three colours.", "Which city is the capital of France?", "Why is the sky blue?"):
        told = {
            (dialect.name, stream): ask(dialect, real_gateway, dialect.body(MODEL, question, 24), stream=stream)
            for dialect, stream in product(ALL, (False, True))
        }
        assert len({each.text for each in told.values()}) == 1, told
        assert len({each.prompt for each in told.values()}) == 1, told
        assert all(len(each.text) > 10 for each in told.values())


@pytest.mark.parametrize(("dialect", "stream"), WAYS)
def test_schemas_hold_in_every_dialect(real_gateway: Gateway, dialect: Dialect, stream: bool):
    """Every strict schema is satisfied, whichever dialect asks for it."""
    for turn in range(ROUNDS):
        wanted = schema(hardness(turn))
        question = f"Describe {SUBJECTS[turn % 10]} as JSON."
        body = {**dialect.body(MODEL, question, 1200), **dialect.schema(wanted)}
        told = ask(dialect, real_gateway, body, stream=stream)
        checked = Draft202012Validator(wanted, format_checker=Draft202012Validator.FORMAT_CHECKER)
        assert checked.is_valid(json.loads(told.text)), told.text


@pytest.mark.parametrize(("dialect", "stream"), WAYS)
def test_forced_calls_hold_in_every_dialect(real_gateway: Gateway, dialect: Dialect, stream: bool):
    """Every forced call names the tool, with arguments that its schema accepts, whichever dialect asks for it."""
    for turn in range(ROUNDS):
        tool = tools(hardness(turn) // 4)[0]
        body = {**dialect.body(MODEL, f"Do something with {SUBJECTS[turn % 10]}.", 1200)}
        told = ask(dialect, real_gateway, {**body, **dialect.tool(tool.name, tool.parameters)}, stream=stream)
        assert [name for name, _ in told.calls][:1] == [tool.name]
        for name, arguments in told.calls:
            assert name == tool.name
            Draft202012Validator(tool.parameters).validate(arguments)
