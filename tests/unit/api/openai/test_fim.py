"""Text between two texts."""

import pytest

from localai.api.openai.fim import FimBody, asked
from localai.core.task import Infill, Raw, Sampling


def ask(**fields):
    return asked(FimBody.model_validate({"prompt": "def f(", **fields}))


def test_a_gap_is_between_two_texts():
    """What is before and what is behind make a gap; the limits of the request hold."""
    wanted = ask(suffix="return", max_tokens=5, stop=["\n"], stream=True)
    (task,) = wanted.tasks
    assert task.prompt == Infill(prefix="def f(", suffix="return")
    assert (task.max_tokens, task.stop, wanted.stream) == (5, ("\n",), True)


@pytest.mark.parametrize("fields", [{}, {"suffix": ""}, {"suffix": None}])
def test_without_anything_behind_it_is_a_continuation(fields):
    """Without a suffix the text is simply continued."""
    assert ask(**fields).tasks[0].prompt == Raw(text="def f(")


@pytest.mark.parametrize(
    ("fields", "seed"),
    [
        ({"random_seed": 7}, 7),
        ({"random_seed": 7, "seed": 3}, 3),
        ({"random_seed": 2**40}, 2**40 % (2**32 - 1)),
        ({}, None),
    ],
)
def test_the_seed_has_two_names(fields, seed):
    """Mistral's name for the seed counts where OpenAI's is missing."""
    assert ask(**fields).tasks[0].sampling == Sampling(seed=seed)
